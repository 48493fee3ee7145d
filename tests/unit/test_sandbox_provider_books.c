/* The sandbox provider's rules: a payment's life, refunds, what is said about it, faults, records. */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "sandbox/provider/provider_page.h"
#include "sandbox/provider/provider_record.h"
#include "sandbox/provider/provider_webhook.h"
#include "tests/support/check.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000000000)
#define AT(ms) (NOW + (ms)*INT64_C(1000))

/* clang-format off */

/* What was done first, then what is asked, and where it leads; NULL: it is refused. */
static const struct {
    const char *what;
    enum payment_event before, event;
    const char *status, *reason;
} lives[] = {
    { "new, paid",               PAYMENT_EVENT_COUNT, PAYMENT_PAY,       "SUCCEEDED",  NULL },
    { "new, declined",           PAYMENT_EVENT_COUNT, PAYMENT_FAIL,      "FAILED",     NULL },
    { "new, at the bank",        PAYMENT_EVENT_COUNT, PAYMENT_PEND,      "PENDING",    NULL },
    { "new, authorized",         PAYMENT_EVENT_COUNT, PAYMENT_AUTHORIZE, "AUTHORIZED", NULL },
    { "new, cancelled",          PAYMENT_EVENT_COUNT, PAYMENT_CANCEL,    "CANCELED",   NULL },
    { "new, its card declined",  PAYMENT_EVENT_COUNT, PAYMENT_DECLINE,   "ATTEMPT_DECLINED", NULL },
    { "one declined, paid",      PAYMENT_DECLINE,     PAYMENT_PAY,       "SUCCEEDED",  NULL },
    { "one declined, another",   PAYMENT_DECLINE,     PAYMENT_DECLINE,   "ATTEMPT_DECLINED", NULL },
    { "one declined, given up",  PAYMENT_DECLINE,     PAYMENT_FAIL,      "FAILED",     NULL },
    { "one declined, cancelled", PAYMENT_DECLINE,     PAYMENT_CANCEL,    "CANCELED",   NULL },
    { "at the bank, paid",       PAYMENT_PEND,        PAYMENT_PAY,       "SUCCEEDED",  NULL },
    { "at the bank, authorized", PAYMENT_PEND,        PAYMENT_AUTHORIZE, "AUTHORIZED", NULL },
    { "at the bank, cancelled",  PAYMENT_PEND,        PAYMENT_CANCEL,    "CANCELED",   NULL },
    { "authorized, paid",        PAYMENT_AUTHORIZE,   PAYMENT_PAY,       "SUCCEEDED",  NULL },
    { "authorized, declined",    PAYMENT_AUTHORIZE,   PAYMENT_FAIL,      "FAILED",     NULL },
    { "authorized, never back",  PAYMENT_AUTHORIZE,   PAYMENT_PEND,      "AUTHORIZED", "NOT_POSSIBLE" },
    { "paid twice",              PAYMENT_PAY,         PAYMENT_PAY,       "SUCCEEDED",  NULL },
    { "paid, declined",          PAYMENT_PAY,         PAYMENT_FAIL,      "SUCCEEDED",  "NOT_POSSIBLE" },
    { "paid, cancelled",         PAYMENT_PAY,         PAYMENT_CANCEL,    "SUCCEEDED",  "ALREADY_PAID" },
    { "declined, paid",          PAYMENT_FAIL,        PAYMENT_PAY,       "FAILED",     "NOT_POSSIBLE" },
    { "declined, cancelled",     PAYMENT_FAIL,        PAYMENT_CANCEL,    "FAILED",     NULL },
    { "cancelled, paid",         PAYMENT_CANCEL,      PAYMENT_PAY,       "CANCELED",   "NOT_POSSIBLE" },
    { "cancelled twice",         PAYMENT_CANCEL,      PAYMENT_CANCEL,    "CANCELED",   NULL },
};

static const struct {
    const char *what, *fault;
    int64_t notices, amount_minor; /* of the last notice */
    int64_t due_ms[3];             /* after the payment */
    const char *statuses[3];
    bool is_forged[3];
    int64_t booked_minor;
} told[] = {
    { "no fault",                 NULL,                 1, 1000, { 0 },      { "SUCCEEDED" },              { false },       1000 },
    { "lost",                     "lost",               0, 0,    { 0 },      { NULL },                     { false },       1000 },
    { "lost once only",           "lost*1",             0, 0,    { 0 },      { NULL },                     { false },       1000 },
    { "doubled",                  "doubled",            2, 1000, { 0, 0 },   { "SUCCEEDED", "SUCCEEDED" }, { false },       1000 },
    { "late",                     "late:700",           1, 1000, { 700 },    { "SUCCEEDED" },              { false },       1000 },
    { "reordered",                "reordered:90",       2, 1000, { 0, 90 },  { "SUCCEEDED", "PENDING" },   { false },       1000 },
    { "wrong signature first",    "wrong-signature:50", 2, 1000, { 0, 50 },  { "SUCCEEDED", "SUCCEEDED" }, { true, false }, 1000 },
    { "another amount is said",   "wrong-amount",       1, 1001, { 0 },      { "SUCCEEDED" },              { false },       1000 },
    { "another amount is taken",  "wrong-amount-books", 1, 1001, { 0 },      { "SUCCEEDED" },              { false },       1001 },
    { "declined",                 "declines",           1, 1000, { 0 },      { "FAILED" },                 { false },       1000 },
    { "used up",                  "lost*0",             1, 1000, { 0 },      { "SUCCEEDED" },              { false },       1000 },
};

static const struct {
    const char *text;
    bool is_one;
    enum fault fault;
    int64_t value_ms, times;
} texts[] = {
    { "late",             true,  FAULT_LATE,      2000, -1 },
    { "late:5",           true,  FAULT_LATE,      5,    -1 },
    { "error-500",        true,  FAULT_ERROR_500, 0,    2 },
    { "error-500*7",      true,  FAULT_ERROR_500, 0,    7 },
    { "slow:10*3",        true,  FAULT_SLOW,      10,   3 },
    { "slow:10*-1",       true,  FAULT_SLOW,      10,   -1 },
    { "",                 false, 0, 0, 0 },
    { "lat",              false, 0, 0, 0 },
    { "lates",            false, 0, 0, 0 },
    { "late:",            false, 0, 0, 0 },
    { "late:-1",          false, 0, 0, 0 },
    { "late:1x",          false, 0, 0, 0 },
    { "late:600001",      false, 0, 0, 0 },
    { "late*-2",          false, 0, 0, 0 },
    { "late*1000001",     false, 0, 0, 0 },
};

static const struct {
    int64_t amount_minor;
    const char *currency, *text;
} amounts[] = {
    { 5,    "EUR", "0.05" },
    { 1250, "EUR", "12.50" },
    { 500,  "JPY", "500" },
    { 1234, "KWD", "1.234" },
    { AMOUNT_MINOR_MAX, "USD", "10000000000000.00" },
};
/* clang-format on */

static struct books *books;

static void
open_books(void)
{
    books = books_new(1, 0, "http://127.0.0.1:1/hook");
}

static void
close_books(void)
{
    books = books_free(books);
}

static struct payment_request
request_of(const char *id)
{
    return (struct payment_request){ .id = id,
                                     .amount_minor = 1000,
                                     .currency = "JPY",
                                     .description = "tea",
                                     .return_url = "",
                                     .webhook_url = "",
                                     .expires_us = AT(60000),
                                     .autopay = PAYMENT_EVENT_COUNT };
}

static struct payment *
create(const char *id, const char *fault)
{
    struct payment_request request = request_of(id);
    struct payment *payment = books_meet(books, id);
    struct problem problem = { 0 };

    ck_assert(fault == NULL || faults_add(&payment->faults, fault, -1));
    ck_assert_int_eq(payment_create(books, payment, &request, NOW, &problem), ERR_OK);
    return payment;
}

START_TEST(a_life_goes_on_or_is_refused)
{
    struct payment *payment = create("p", NULL);
    struct problem problem = { 0 };
    bool is_ok;

    if (lives[_i].before != PAYMENT_EVENT_COUNT)
        ck_assert_int_eq(payment_do(books, payment, lives[_i].before, NOW, &problem), ERR_OK);
    is_ok = payment_do(books, payment, lives[_i].event, NOW, &problem) == ERR_OK;
    ck_assert_msg(is_ok == (lives[_i].reason == NULL), "%s", lives[_i].what);
    ck_assert_str_eq(payment_status_name(payment->status), lives[_i].status);
    if (!is_ok)
        ck_assert_str_eq(problem.reason, lives[_i].reason);
    ck_assert_int_eq(payment->changes[payment->change_count - 1].status, payment->status);
}
END_TEST

START_TEST(faults_change_what_is_told)
{
    struct payment *payment = create("p", told[_i].fault);
    struct problem problem = { 0 };

    ck_assert_int_eq(payment_do(books, payment, PAYMENT_PAY, NOW, &problem), ERR_OK);
    ck_assert_msg((int64_t)payment->notice_count == told[_i].notices, "%s: %zu notices",
                  told[_i].what, payment->notice_count);
    ck_assert_int_eq(payment->booked_minor, told[_i].booked_minor);
    for (size_t i = 0; i < payment->notice_count; i++) {
        const struct notice *notice = &payment->notices[i];

        ck_assert_str_eq(payment_status_name(notice->status), told[_i].statuses[i]);
        ck_assert_int_eq(notice->due_us, AT(told[_i].due_ms[i]));
        ck_assert_int_eq(notice->is_forged, told[_i].is_forged[i]);
        ck_assert_int_eq(notice->amount_minor, told[_i].amount_minor);
    }
}
END_TEST

START_TEST(a_payment_expires_at_its_time)
{
    struct payment *payment = create("p", NULL);

    ck_assert_int_eq(payment_due_us(payment), AT(60000));
    payment_turn(books, payment, AT(60000) - 1);
    ck_assert_int_eq(payment->status, PAYMENT_CREATED);
    payment_turn(books, payment, AT(60000));
    ck_assert_int_eq(payment->status, PAYMENT_EXPIRED);
}
END_TEST

START_TEST(one_that_pays_late_succeeds_after_its_end)
{
    struct payment *payment = create("p", "pays-late:400");
    struct problem problem = { 0 };

    ck_assert_int_eq(payment_do(books, payment, PAYMENT_PAY, NOW, &problem), ERR_OK);
    ck_assert_int_eq(payment->status, PAYMENT_PENDING);
    ck_assert_int_eq(payment_do(books, payment, PAYMENT_CANCEL, AT(10), &problem), ERR_OK);
    ck_assert_int_eq(payment->status, PAYMENT_CANCELED);
    payment_turn(books, payment, AT(409));
    ck_assert_int_eq(payment->status, PAYMENT_CANCELED);
    payment_turn(books, payment, AT(410));
    ck_assert_int_eq(payment->status, PAYMENT_SUCCEEDED);
    payment_turn(books, payment, AT(100000));
    ck_assert_int_eq(payment->status, PAYMENT_SUCCEEDED);
}
END_TEST

START_TEST(autopay_comes_before_an_expiry_that_was_missed_too)
{
    struct payment_request request = request_of("p");
    struct payment *payment = books_meet(books, "p");
    struct problem problem = { 0 };

    request.autopay = PAYMENT_PAY;
    request.autopay_after_us = 5000;
    ck_assert_int_eq(payment_create(books, payment, &request, NOW, &problem), ERR_OK);
    ck_assert_int_eq(payment_due_us(payment), AT(5));
    payment_turn(books, payment, AT(90000)); /* the provider was away */
    ck_assert_int_eq(payment->status, PAYMENT_SUCCEEDED);
}
END_TEST

START_TEST(refunds_never_exceed_what_was_taken)
{
    struct payment *payment = create("p", NULL);
    struct problem problem = { 0 };
    size_t index = 9;

#define REFUND(id, amount) payment_refund(books, payment, id, amount, NOW, &problem, &index)
    ck_assert_int_eq(REFUND("a", 1), ERR_REFUSED);
    ck_assert_int_eq(payment_do(books, payment, PAYMENT_PAY, NOW, &problem), ERR_OK);
    ck_assert_int_eq(REFUND("a", 0), ERR_BAD_REQUEST);
    ck_assert_int_eq(REFUND("a", 1001), ERR_REFUSED);
    ck_assert_int_eq(REFUND("a", INT64_MAX), ERR_REFUSED);
    ck_assert_uint_eq(index, 9);
    ck_assert_int_eq(REFUND("a", 999), ERR_OK);
    ck_assert_int_eq(REFUND("b", 2), ERR_REFUSED);
    ck_assert_int_eq(REFUND("b", 1), ERR_OK);
    ck_assert_uint_eq(index, 1);
    ck_assert_int_eq(REFUND("a", 999), ERR_OK); /* again: done already */
    ck_assert_uint_eq(index, 0);
    ck_assert_int_eq(REFUND("a", 1), ERR_ID_REUSED);
    ck_assert_uint_eq(payment->refund_count, 2);
#undef REFUND
}
END_TEST

START_TEST(a_webhook_is_sent_until_it_is_taken_or_given_up)
{
    static const int64_t waits_ms[] = { 200, 1000, 5000, 30000, 120000, 600000, 600000 };
    struct payment *payment = create("p", NULL);
    struct problem problem = { 0 };
    struct notice *notice;

    payment_do(books, payment, PAYMENT_PAY, NOW, &problem);
    notice = &payment->notices[0];
    for (size_t i = 0; i < sizeof waits_ms / sizeof *waits_ms; i++) {
        notice->is_sending = true;
        ck_assert_int_eq(payment_due_us(payment), NEVER_US);
        notice_answered(books, payment, 0, i % 2 == 0 ? 0 : 302, NOW);
        ck_assert_int_eq(notice->state, NOTICE_WAITING);
        ck_assert_int_eq(payment_due_us(payment), AT(waits_ms[i]));
    }
    notice->is_sending = true;
    if (_i == 0) {
        notice_answered(books, payment, 0, 204, NOW);
        ck_assert_int_eq(notice->state, NOTICE_DELIVERED);
    } else if (_i == 1) {
        notice_answered(books, payment, 0, 410, NOW);
        ck_assert_int_eq(notice->state, NOTICE_GIVEN_UP);
    } else {
        while (notice->attempts < NOTICE_ATTEMPTS_MAX) {
            notice->is_sending = true;
            notice_answered(books, payment, 0, 500, NOW);
        }
        ck_assert_int_eq(notice->state, NOTICE_GIVEN_UP);
    }
    ck_assert_int_eq(payment_due_us(payment), NEVER_US);
}
END_TEST

/* What the change was told of gets lost; it is told later, as it was. */
START_TEST(what_was_lost_is_told_once_more)
{
    struct payment *payment = create("p", "lost");
    struct problem problem = { 0 };

    ck_assert_int_eq(payment_do(books, payment, PAYMENT_PAY, NOW, &problem), ERR_OK);
    ck_assert_uint_eq(payment->notice_count, 0);
    payment_tell(books, payment, AT(500));
    ck_assert_uint_eq(payment->notice_count, 0);
    memset(&payment->faults, 0, sizeof payment->faults);
    payment_tell(books, payment, AT(900));
    ck_assert_uint_eq(payment->notice_count, 1);
    ck_assert_int_eq(payment->notices[0].status, PAYMENT_SUCCEEDED);
    ck_assert_int_eq(payment->notices[0].occurred_us, NOW);
    ck_assert_int_eq(payment->notices[0].due_us, AT(900));
    ck_assert_ptr_eq(books_changed(books), payment);
}
END_TEST

START_TEST(a_fault_has_a_text)
{
    struct faults faults = { 0 }, again = { 0 };
    char text[FAULT_TEXT_BYTES];

    ck_assert_msg(faults_add(&faults, texts[_i].text, -1) == texts[_i].is_one, "%s",
                  texts[_i].text);
    if (!texts[_i].is_one)
        return;
    ck_assert_int_eq(faults.of[texts[_i].fault].value_ms, texts[_i].value_ms);
    ck_assert_int_eq(faults.of[texts[_i].fault].uses_left, texts[_i].times);
    fault_print(texts[_i].fault, &faults.of[texts[_i].fault], text);
    ck_assert(faults_add(&again, text, -1));
    ck_assert_mem_eq(&faults, &again, sizeof faults);
}
END_TEST

/* Of 2,000 payments about a fifth, of every kind but the one that needs a person and the one that leaves
 * nothing to go on with. */
START_TEST(the_seed_chooses)
{
    size_t hit[FAULT_COUNT] = { 0 }, total = 0, differ = 0;

    for (int n = 0; n < 2000; n++) {
        struct faults first = { 0 }, same = { 0 }, other = { 0 };
        char id[16];

        snprintf(id, sizeof id, "p-%d", n);
        faults_choose(&first, 42, 20, id);
        faults_choose(&same, 42, 20, id);
        faults_choose(&other, 43, 20, id);
        ck_assert_mem_eq(&first, &same, sizeof first);
        differ += memcmp(&first, &other, sizeof first) != 0;
        for (size_t i = 0; i < FAULT_COUNT; i++)
            hit[i] += fault_is_on(&first, (enum fault)i);
    }
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        ck_assert((hit[i] > 0) == (i != FAULT_WRONG_AMOUNT_BOOKS && i != FAULT_REFUSES));
        total += hit[i];
    }
    ck_assert_uint_gt(total, 300);
    ck_assert_uint_lt(total, 500);
    ck_assert_uint_gt(differ, 300);
}
END_TEST

START_TEST(many_payments_are_found_again)
{
    char id[16];

    for (int n = 0; n < 5000; n++) {
        snprintf(id, sizeof id, "p-%d", n);
        ck_assert_str_eq(books_meet(books, id)->id, id);
    }
    for (int n = 0; n < 5000; n++) {
        snprintf(id, sizeof id, "p-%d", n);
        ck_assert_str_eq(books_find(books, id)->id, id);
    }
    ck_assert_uint_eq(HASH_CNT(by_id, books->payments), 5000);
    ck_assert_ptr_null(books_find(books, "p-5000"));
}
END_TEST

static char *
record_of(const struct payment *payment)
{
    struct json_writer writer = { 0 };

    payment_record_write(&writer, NULL, payment);
    return writer.text;
}

START_TEST(a_record_brings_everything_back)
{
    struct payment *payment = create("p", "wrong-signature*3");
    struct books *others = books_new(1, 0, "");
    struct problem problem = { 0 };
    char *text, *again;
    json_t *json;
    size_t index;

    payment_do(books, payment, PAYMENT_PAY, AT(1), &problem);
    payment_refund(books, payment, "r", 300, AT(2), &problem, &index);
    payment->notices[0].is_sending = true;
    notice_answered(books, payment, 0, 401, AT(3));
    text = record_of(payment);
    ck_assert_int_eq(json_read(text, strlen(text), "record", &problem, &json), ERR_OK);
    ck_assert_int_eq(payment_record_read(others, json, &problem), ERR_OK);
    again = record_of(books_find(others, "p"));
    ck_assert_str_eq(text, again);
    ck_assert_int_eq(payment_due_us(books_find(others, "p")), payment_due_us(payment));
    json_decref(json);
    free(text);
    free(again);
    books_free(others);
}
END_TEST

START_TEST(an_amount_is_shown)
{
    char text[32];

    ck_assert_str_eq(amount_print(amounts[_i].amount_minor, amounts[_i].currency, text),
                     amounts[_i].text);
}
END_TEST

/* The vector of the reference libraries of Standard Webhooks 1.0.0. */
START_TEST(webhooks_are_signed_as_the_standard_says)
{
    static const char wanted[] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    static const char body[] = "{\"test\": 2432232314}";
    struct webhook_secrets secrets;
    char text[SIGNATURES_BYTES];

    ck_assert(webhook_secrets_read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", &secrets));
    ck_assert_str_eq(webhook_sign(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body,
                                  sizeof body - 1, text),
                     wanted);
    ck_assert(webhook_secrets_read("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
                                   "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                   &secrets));
    webhook_sign(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, sizeof body - 1, text);
    ck_assert_ptr_nonnull(strstr(text, " v1,"));
    ck_assert_str_eq(strstr(text, " v1,") + 1, wanted);
}
END_TEST

START_TEST(what_is_no_secret_is_refused)
{
    /* clang-format off */
    static const char *const none[] = { "", "\n", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_AAAA",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!" };
    /* clang-format on */
    struct webhook_secrets secrets;

    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_msg(!webhook_secrets_read(none[i], &secrets), "%s", none[i]);
}
END_TEST

int
main(void)
{
    TCase *rules = check_case("rules");

    tcase_add_checked_fixture(rules, open_books, close_books);
    tcase_add_loop_test(rules, a_life_goes_on_or_is_refused, 0, ROWS(lives));
    tcase_add_loop_test(rules, faults_change_what_is_told, 0, ROWS(told));
    tcase_add_test(rules, a_payment_expires_at_its_time);
    tcase_add_test(rules, one_that_pays_late_succeeds_after_its_end);
    tcase_add_test(rules, autopay_comes_before_an_expiry_that_was_missed_too);
    tcase_add_test(rules, refunds_never_exceed_what_was_taken);
    tcase_add_loop_test(rules, a_webhook_is_sent_until_it_is_taken_or_given_up, 0, 3);
    tcase_add_test(rules, what_was_lost_is_told_once_more);
    tcase_add_loop_test(rules, a_fault_has_a_text, 0, ROWS(texts));
    tcase_add_test(rules, the_seed_chooses);
    tcase_add_test(rules, many_payments_are_found_again);
    tcase_add_test(rules, a_record_brings_everything_back);
    tcase_add_loop_test(rules, an_amount_is_shown, 0, ROWS(amounts));
    tcase_add_test(rules, webhooks_are_signed_as_the_standard_says);
    tcase_add_test(rules, what_is_no_secret_is_refused);
    return check_run("sandbox_books", rules);
}
