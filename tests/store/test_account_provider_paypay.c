/* The provider thread against a small PayPay of the test's own: the page of a code is told once, what is made
 * again is a DUPLICATE, and a code that is deleted is known no more than as CREATED. */
#include "tests/support/account/provider_fixture.h"
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct {
    int duplicates, deletes, payment_deletes;
} paypay;

static int
result(char *body, size_t size, int status, const char *code, const char *data)
{
    snprintf(body, size,
             "{\"resultInfo\":{\"code\":\"%s\",\"message\":\"so it is\",\"codeId\":\"08100001\"},"
             "\"data\":%s}",
             code, data);
    return status;
}

static int
paypay_create(const char *head, char *body, size_t size)
{
    char data[256];

    if (strstr(head, "\"amount\":13") != NULL)
        return result(body, size, 400, "INVALID_PARAMS", "null");
    if (world.is_there) {
        paypay.duplicates++;
        return result(body, size, 400, "DUPLICATE_DYNAMIC_QR_REQUEST", "null");
    }
    world.creates++;
    world.is_there = true;
    snprintf(data, sizeof data,
             "{\"codeId\":\"c1\",\"url\":\"http://qr.example/1\",\"expiryDate\":%" PRId64 "}",
             clock_now_us() / SECOND_US + 300);
    return result(body, size, 201, "SUCCESS", data);
}

/* Under the lock. */
static int
paypay_request(const char *head, char *body, size_t size)
{
    char data[256];

    if (strncmp(head, "POST /v2/codes ", 15) == 0)
        return paypay_create(head, body, size);
    if (strncmp(head, "POST /v2/refunds ", 17) == 0) {
        const char *id = strstr(head, "\"merchantRefundId\":\"");

        world.refunds++;
        snprintf(data, sizeof data,
                 "{\"status\":\"REFUNDED\",\"merchantRefundId\":\"%.36s\","
                 "\"amount\":{\"amount\":500,\"currency\":\"JPY\"}}",
                 id + 20);
        return result(body, size, 201, "SUCCESS", data);
    }
    if (!world.is_there)
        return result(body, size, 404, "DYNAMIC_QR_PAYMENT_NOT_FOUND", "null");
    if (strncmp(head, "DELETE /v2/codes/c1 ", 20) == 0) {
        paypay.deletes++;
        if (strcmp(world.status, "CREATED") != 0)
            return result(body, size, 400, "DYNAMIC_QR_ALREADY_PAID", "null");
        return result(body, size, 200, "SUCCESS", "null");
    }
    if (strncmp(head, "DELETE /v2/payments/", 20) == 0) {
        paypay.payment_deletes++;
        return result(body, size, 202, "REQUEST_ACCEPTED", "null");
    }
    world.queries++;
    snprintf(
        data, sizeof data,
        "{\"status\":\"%s\",\"paymentId\":\"77\",\"amount\":{\"amount\":500,\"currency\":\"JPY\"}}",
        world.status);
    return result(body, size, 200, "SUCCESS", data);
}

static void
set_up_paypay(void)
{
    adapter = &provider_paypay;
    memset(&paypay, 0, sizeof paypay);
    set_up();
    pthread_mutex_lock(&world.lock);
    world.request = paypay_request;
    pthread_mutex_unlock(&world.lock);
}

START_TEST(created_and_paid)
{
    struct uuid id = create();

    wait_for(id, "url = 'http://qr.example/1' AND reference = 'c1' AND NOT is_leased");
    wait_for(id, "expires_at_us < ends_at_us"); /* a code lives five minutes */
    world_set("COMPLETED");
    come_back(id);
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0 AND reference = '77'");
}
END_TEST

/* DELETE says SUCCESS, and the books go on saying CREATED: the order waits for nothing more. */
START_TEST(cancelled_at_once)
{
    struct uuid id = create();
    int64_t begun_us;

    wait_for(id, "url <> '' AND NOT is_leased");
    begun_us = clock_steady_us();
    abandon(id);
    wait_for(id, "claim = 3 AND observed = 6");
    ck_assert_int_lt(clock_steady_us() - begun_us, patient_us(5 * SECOND_US));
    ck_assert_int_eq(paypay.deletes, 1);
    wait_for(id, "NOT query_wanted AND polls >= 2"); /* the books were asked after it */
    world_set("COMPLETED");                          /* paid after all, somehow */
    come_back(id);
    wait_for(id, "observed = 7 AND refunds = '500 ' || id AND kind = 0");
    EXPECT(refunds, 1);
}
END_TEST

/* The answer with the page is lost. It is asked for under the same id, and PayPay does not tell it twice: the
 * order hears so at once, and the code is given up. */
START_TEST(lost_page)
{
    struct uuid id;

    world.lost = 1;
    id = create();
    wait_for(id, "claim = 3 AND failure_reason = 'PAYMENT_PAGE_LOST'");
    EXPECT(creates, 1);
    ck_assert_int_eq(paypay.duplicates, 1);
    wait_for(id, "abandon_asked_us > 0 AND url = ''");
    for (int i = 0; i < 2; i++) /* it goes on until the provider says that it is over */
        wait_for_hits(world.hits + 1);
    world_set("EXPIRED");
    come_back(id);
    wait_for(id, "observed = 5");
    ck_assert_int_ge(paypay.payment_deletes, 1);
}
END_TEST

/* The database is away when the answer with the page comes: the only one of its kind is not thrown away. */
START_TEST(page_outlives_an_outage)
{
    struct uuid id;

    lost_learns = 2;
    id = create();
    wait_for(id, "url = 'http://qr.example/1' AND create_state = 3 AND NOT is_leased");
    EXPECT(creates, 1);
    EXPECT(queries, 0);
    ck_assert_int_eq(paypay.duplicates, 0);
}
END_TEST

/* What PayPay says to what it refuses. */
START_TEST(refused_with_its_words)
{
    struct test_call *test = call_fixture_new(method_find("Create"));
    struct create_payment *op = (struct create_payment *)test->call.op;
    struct uuid id = uuid_v7(clock_now_us());

    op->op.id = op->order_id = id;
    op->provider = "sandbox";
    op->currency = "JPY";
    op->description = op->return_url = "";
    op->amount_minor = 13;
    op->expires_seconds = 600;
    run(test);
    wait_for(id, "observed = 4 AND failure_reason = 'PAYMENT_REFUSED' AND failure_detail ="
                 " 'the provider refused to make it: INVALID_PARAMS: so it is'");
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("paypay");

    tcase_add_checked_fixture(tests, set_up_paypay, tear_down);
    tcase_add_test(tests, created_and_paid);
    tcase_add_test(tests, cancelled_at_once);
    tcase_add_test(tests, lost_page);
    tcase_add_test(tests, page_outlives_an_outage);
    tcase_add_test(tests, refused_with_its_words);
    return pg_fixture_check(&fixture, "paypay", "account-svc/schema", tests);
}
