/* payment.c -- The registers of a payment and the one reducer that moves them. */
#include "account-svc/payment/payment.h"
#include "mesh/base/utf8.h"
#include "mesh/store/event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ---- */

/* The first of a kind is ours. What a provider calls refunded was paid before: refunds are a set of their
 * own. */
const struct status_word status_words[] = {
    /* clang-format off */
    { "CREATED",            OBSERVED_CREATED,    false },
    { "INIT",               OBSERVED_CREATED,    false },
    { "PENDING",            OBSERVED_PENDING,    false },
    { "ATTEMPT_DECLINED",   OBSERVED_PENDING,    false }, /* a card was, and another may be tried */
    { "REQUIRES_PAYMENT_METHOD", OBSERVED_PENDING, false },
    { "PROCESSING",         OBSERVED_PENDING,    false },
    { "REAUTHORIZING",      OBSERVED_PENDING,    false },
    { "AUTHORIZED",         OBSERVED_AUTHORIZED, false },
    { "FAILED",             OBSERVED_FAILED,     false },
    { "FAILURE",            OBSERVED_FAILED,     false },
    { "DECLINED",           OBSERVED_FAILED,     false },
    { "EXPIRED",            OBSERVED_EXPIRED,    false },
    { "CANCELED",           OBSERVED_CANCELED,   false },
    { "CANCELLED",          OBSERVED_CANCELED,   false },
    { "SUCCEEDED",          OBSERVED_SUCCEEDED,  false },
    { "SUCCESS",            OBSERVED_SUCCEEDED,  false },
    { "COMPLETED",          OBSERVED_SUCCEEDED,  false },
    { "CAPTURED",           OBSERVED_SUCCEEDED,  false },
    { "REFUNDED",           OBSERVED_SUCCEEDED,  true  },
    { "PARTIALLY_REFUNDED", OBSERVED_SUCCEEDED,  false },
    { NULL,                 OBSERVED_NONE,       false },
    /* clang-format on */
};

const struct status_word *
status_find(const struct status_word words[], const char *word)
{
    for (; words->word != NULL; words++) {
        if (strcmp(words->word, word) == 0)
            return words;
    }
    return NULL;
}

const char *
observed_word(enum observed observed)
{
    for (const struct status_word *row = status_words; row->word != NULL; row++) {
        if (row->observed == observed)
            return row->word;
    }
    return "";
}

const char *
claim_word(enum claim claim)
{
    static const char *const claims[] = { "", "OPEN", "TAKEN", "ABANDONED", "RETURNED" };

    assert(claim < CLAIM_COUNT);
    return claims[claim];
}

/* ---- the life of a claim ---- */

static const struct {
    enum claim in;
    enum claim_event on;
    enum claim to;
    const char *because;
} claim_rules[] = {
    /* clang-format off */
    { CLAIM_OPEN,      CLAIM_SUCCESS, CLAIM_TAKEN,     "paid while the order waited" },
    { CLAIM_OPEN,      CLAIM_PAID_BACK, CLAIM_ABANDONED, "paid and paid back: there is nothing to take" },
    { CLAIM_OPEN,      CLAIM_GIVE_UP, CLAIM_ABANDONED, "nobody waits any more, and no success was seen" },
    { CLAIM_OPEN,      CLAIM_RETURN,  CLAIM_ABANDONED, "undone: nobody waits for it, a success is refunded" },

    { CLAIM_TAKEN,     CLAIM_SUCCESS, CLAIM_TAKEN,     "told twice" },
    { CLAIM_TAKEN,     CLAIM_PAID_BACK, CLAIM_TAKEN,   "the shop paid back what the order has" },
    { CLAIM_TAKEN,     CLAIM_GIVE_UP, CLAIM_TAKEN,     "the success was first" },
    { CLAIM_TAKEN,     CLAIM_RETURN,  CLAIM_RETURNED,  "the order gives it back" },

    { CLAIM_ABANDONED, CLAIM_SUCCESS, CLAIM_ABANDONED, "a late success is refunded" },
    { CLAIM_ABANDONED, CLAIM_PAID_BACK, CLAIM_ABANDONED, "it has gone back already" },
    { CLAIM_ABANDONED, CLAIM_GIVE_UP, CLAIM_ABANDONED, "told twice" },
    { CLAIM_ABANDONED, CLAIM_RETURN,  CLAIM_ABANDONED, "nothing was taken" },

    { CLAIM_RETURNED,  CLAIM_SUCCESS, CLAIM_RETURNED,  "old news" },
    { CLAIM_RETURNED,  CLAIM_PAID_BACK, CLAIM_RETURNED, "that is what was wanted" },
    { CLAIM_RETURNED,  CLAIM_GIVE_UP, CLAIM_RETURNED,  "it was taken, and given back" },
    { CLAIM_RETURNED,  CLAIM_RETURN,  CLAIM_RETURNED,  "told twice" },
    /* clang-format on */
};

enum claim
claim_after(enum claim claim, enum claim_event event)
{
    for (size_t i = 0; i < sizeof claim_rules / sizeof *claim_rules; i++) {
        if (claim_rules[i].in == claim && claim_rules[i].on == event)
            return claim_rules[i].to;
    }
    abort(); /* test_account_payment.c: every pair is answered */
}

/* ---- refunds ---- */

const struct refunded *
payment_refunds(const struct payment *payment, struct arena *arena, size_t *ret_count)
{
    struct refunded *set = arena_take(arena, PAYMENT_REFUNDS_MAX * sizeof *set);
    const char *line = payment->refunds;
    size_t count = 0;

    while (*line != '\0') {
        char *id;

        assert(count < PAYMENT_REFUNDS_MAX);
        set[count].amount_minor = strtoll(line, &id, 10);
        assert(*id == ' ');
        set[count].id = arena_copy(arena, id + 1, strcspn(id + 1, "\n"));
        line = id + 1 + strcspn(id + 1, "\n");
        line += *line == '\n';
        count++;
    }
    *ret_count = count;
    return set;
}

static const char *
refunds_text(const struct refunded *set, size_t count, struct arena *arena)
{
    const char *text = "";

    for (size_t i = 0; i < count; i++)
        text = arena_print(arena, "%s%s%" PRId64 " %s", text, i > 0 ? "\n" : "",
                           set[i].amount_minor, set[i].id);
    return text;
}

/* The last place is kept for ours. */
static bool
has_place(const struct payment *payment, const struct refunded *refund, size_t count)
{
    char id[UUID_TEXT_BYTES + 1];

    return count < PAYMENT_REFUNDS_MAX - 1 ||
           (count < PAYMENT_REFUNDS_MAX &&
            strcmp(uuid_print(payment->record.id, id), refund->id) == 0);
}

/* Adds to the set in the order of ids, so that it does not tell in which order it was heard. A known
 * id with a greater amount is the newer news: amounts of a refund only grow. */
static bool
refund_add(struct payment *payment, const struct refunded *refund, struct arena *arena)
{
    size_t count, at = 0;
    struct refunded *set = (struct refunded *)payment_refunds(payment, arena, &count);

    while (at < count && strcmp(set[at].id, refund->id) < 0)
        at++;
    if (at < count && strcmp(set[at].id, refund->id) == 0) {
        if (set[at].amount_minor >= refund->amount_minor)
            return false;
        set[at].amount_minor = refund->amount_minor;
    } else if (!has_place(payment, refund, count)) {
        return false;
    } else {
        memmove(&set[at + 1], &set[at], (count - at) * sizeof *set);
        set[at] = *refund;
        count++;
    }
    payment->refunds = refunds_text(set, count, arena);
    return true;
}

const char *
payment_refund_currency(const struct payment *payment)
{
    return payment->is_quarantined ? payment->booked_currency : payment->currency;
}

bool
payment_refund_is_due(const struct payment *payment)
{
    if (payment->is_quarantined)
        return payment->settle_asked_us != 0 && payment->booked_minor > 0;
    return payment->observed == OBSERVED_SUCCEEDED &&
           (payment->claim == CLAIM_ABANDONED || payment->claim == CLAIM_RETURNED);
}

int64_t
payment_refund_left(const struct payment *payment, struct arena *arena)
{
    size_t count;
    const struct refunded *set = payment_refunds(payment, arena, &count);
    int64_t left_minor = payment->is_quarantined ? payment->booked_minor : payment->amount_minor;

    for (size_t i = 0; i < count && left_minor > 0; i++)
        left_minor -= set[i].amount_minor;
    return left_minor > 0 ? left_minor : 0;
}

/* Done is what adds up to the amount, whoever made it: the provider's back office counts as well. */
bool
payment_refund_is_open(const struct payment *payment, struct arena *arena)
{
    return payment_refund_is_due(payment) && payment_refund_left(payment, arena) > 0;
}

/* ---- when an operator is called ---- */

unsigned
payment_call_person(struct payment *payment, enum trouble trouble)
{
    assert(trouble != TROUBLE_NONE);
    if (payment->trouble != TROUBLE_NONE && payment->trouble <= (int32_t)trouble)
        return 0;
    payment->trouble = (int32_t)trouble;
    payment->needs_person = true;
    return CHANGE_OTHER;
}

void
payment_need_nobody(struct payment *payment)
{
    payment->trouble = TROUBLE_NONE;
    payment->needs_person = false;
}

/* ---- observations ---- */

bool
observed_is_final(int32_t observed)
{
    return observed >= OBSERVED_FAILED;
}

int64_t
payment_expires_us(const struct payment *payment)
{
    return payment->ends_at_us > 0 && payment->ends_at_us < payment->expires_at_us
               ? payment->ends_at_us
               : payment->expires_at_us;
}

int64_t
payment_checkout_end_us(const struct payment *payment)
{
    int64_t end_us = payment->expires_at_us;

    if (payment->ends_at_us == 0)
        return end_us;
    if (end_us > payment->ends_at_us + CHECKOUT_US_MAX)
        return payment->ends_at_us + CHECKOUT_US_MAX;
    return end_us > payment->ends_at_us ? end_us : payment->ends_at_us;
}

/* A create that was refused settles nothing while an earlier one may have arrived. */
static bool
is_failure(const struct payment *payment)
{
    return payment->observed != OBSERVED_SUCCEEDED &&
           (payment->observed == OBSERVED_FAILED || payment->claim == CLAIM_ABANDONED);
}

const char *
payment_failure_reason(const struct payment *payment)
{
    return is_failure(payment) ? payment->failure_reason : "";
}

const char *
payment_failure_detail(const struct payment *payment)
{
    return is_failure(payment) ? payment->failure_detail : "";
}

bool
payment_is_tombstone(const struct payment *payment)
{
    return payment->record.fingerprint == 0;
}

/* What says nothing of an amount cannot say that it was paid. */
static bool
amount_agrees(const struct payment *payment, const struct observation *observation)
{
    if (observation->currency == NULL)
        return observation->observed != OBSERVED_SUCCEEDED;
    return observation->amount_minor == payment->amount_minor &&
           strcmp(observation->currency, payment->currency) == 0;
}

/* Printable ASCII that no JSON need escape and no line of ours can be broken by. */
static bool
text_is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    }
    return true;
}

static bool
text_is_news(const char *known, const char *heard)
{
    return heard != NULL && heard[0] != '\0' && text_is_plain(heard) && strcmp(known, heard) != 0;
}

void
payment_touched(struct payment *payment, int64_t now_us)
{
    payment->version++;
    payment->changed_at_us = now_us;
}

static unsigned
observe_refunds(struct payment *payment, const struct observation *observation, struct arena *arena)
{
    unsigned changes = 0;

    for (size_t i = 0; i < observation->refund_count; i++) {
        if (text_is_plain(observation->refunds[i].id) &&
            refund_add(payment, &observation->refunds[i], arena))
            changes |= CHANGE_REFUNDS;
    }
    if ((changes & CHANGE_REFUNDS) != 0 && payment_refund_left(payment, arena) == 0 &&
        (!payment->is_quarantined || payment->booked_minor > 0))
        payment_need_nobody(payment);
    return changes;
}

/* What the books of a quarantined payment say was taken. Money that cannot be read is for the person to
 * find out. */
static unsigned
observe_books(struct payment *payment, const struct observation *observation, struct arena *arena)
{
    bool is_paid = observation->observed == OBSERVED_SUCCEEDED && observation->amount_minor > 0 &&
                   observation->currency != NULL && strlen(observation->currency) == 3 &&
                   text_is_plain(observation->currency);
    int64_t booked_minor = is_paid ? observation->amount_minor : 0;
    const char *currency = is_paid ? observation->currency : "";

    if (payment->booked_minor == booked_minor && strcmp(payment->booked_currency, currency) == 0)
        return 0;
    payment->booked_minor = booked_minor;
    payment->booked_currency = arena_copy(arena, currency, strlen(currency));
    return CHANGE_OTHER;
}

/* The provider's own books disagree: no register moves, and a person looks. Once one has, and it is over
 * there and nothing is left to pay back, nobody is needed any more. */
static unsigned
payment_quarantine(struct payment *payment, const struct observation *observation,
                   struct arena *arena)
{
    unsigned changes = 0;

    if (!payment->is_quarantined) {
        payment->is_quarantined = true;
        changes |= payment_call_person(payment, TROUBLE_QUARANTINED);
    }
    changes |= observe_books(payment, observation, arena);
    changes |= observe_refunds(payment, observation, arena);
    if (payment->needs_person && payment->settle_asked_us != 0 &&
        observed_is_final((int32_t)observation->observed) &&
        (observation->observed != OBSERVED_SUCCEEDED || payment->booked_minor > 0) &&
        payment_refund_left(payment, arena) == 0) {
        payment_need_nobody(payment);
        changes |= CHANGE_OTHER;
    }
    return changes;
}

static unsigned
observe_registers(struct payment *payment, const struct observation *observation,
                  struct arena *arena)
{
    unsigned changes = 0;

    if ((int32_t)observation->observed > payment->observed) {
        payment->observed = (int32_t)observation->observed;
        payment->occurred_at_us = observation->occurred_at_us;
        changes |= CHANGE_OBSERVED;
    }
    return changes | observe_refunds(payment, observation, arena);
}

/* From here on nobody is to pay, and a saga that waits is to end. */
static void
payment_unwanted(struct payment *payment, int64_t now_us)
{
    if (payment->abandon_asked_us == 0)
        payment->abandon_asked_us = now_us;
    payment->url = "";
}

/* A quarantined payment is nobody's: a person decides. */
static unsigned
observe_claim(struct payment *payment, const struct observation *observation, struct arena *arena,
              int64_t now_us)
{
    bool is_gone = observation->is_paid_back || payment_refund_left(payment, arena) == 0;
    enum claim claim =
        claim_after((enum claim)payment->claim, is_gone ? CLAIM_PAID_BACK : CLAIM_SUCCESS);

    if (payment->observed != OBSERVED_SUCCEEDED || payment->is_quarantined ||
        payment->claim == (int32_t)claim)
        return 0;
    payment->claim = (int32_t)claim;
    if (claim == CLAIM_ABANDONED)
        payment_unwanted(payment, now_us);
    return CHANGE_CLAIM;
}

static unsigned
observe_particulars(struct payment *payment, const struct observation *observation,
                    struct arena *arena)
{
    unsigned changes = 0;

    if (payment->abandon_asked_us == 0 && text_is_news(payment->url, observation->url)) {
        payment->url = arena_copy(arena, observation->url, strlen(observation->url));
        changes |= CHANGE_OTHER;
    }
    if (text_is_news(payment->reference, observation->reference)) {
        payment->reference =
            arena_copy(arena, observation->reference, strlen(observation->reference));
        changes |= CHANGE_OTHER;
    }
    /* A checkout that ended before it was made is a time that means something else. */
    if (observation->expires_at_us > payment->created_at_us &&
        observation->expires_at_us != payment->expires_at_us) {
        payment->expires_at_us = observation->expires_at_us;
        changes |= CHANGE_OTHER;
    }
    return changes;
}

unsigned
payment_observe(struct payment *payment, const struct observation *observation, struct arena *arena,
                int64_t now_us)
{
    bool is_ours = amount_agrees(payment, observation);
    unsigned changes = 0;

    if (!is_ours && observation->source != SOURCE_QUERY)
        return CHANGE_WANTS_QUERY;
    if (observation->source == SOURCE_QUERY && (!is_ours || payment->is_quarantined))
        changes |= payment_quarantine(payment, observation, arena);
    if (is_ours) {
        changes |= observe_registers(payment, observation, arena);
        changes |= observe_claim(payment, observation, arena, now_us);
        changes |= observe_particulars(payment, observation, arena);
    }
    if (changes != 0)
        payment_touched(payment, now_us);
    /* That it was paid and that it went back are two pieces of news, each with a version. */
    if ((changes & CHANGE_OBSERVED) != 0 && (changes & CHANGE_REFUNDS) != 0)
        payment_touched(payment, now_us);
    assert(payment->claim != CLAIM_TAKEN || payment->observed == OBSERVED_SUCCEEDED);
    return changes;
}

/* ---- no way to pay ---- */

/* As much as fits, and no half of a character. */
static const char *
failure_text(struct arena *arena, const char *text)
{
    return arena_copy(arena, text, utf8_cut(text, PAYMENT_FAILURE_BYTES_MAX));
}

void
payment_refused(struct payment *payment, const char *code, const char *words, struct arena *arena)
{
    const char *text = "the provider refused to make it";

    if (code != NULL && code[0] != '\0')
        text = arena_print(arena, "%s: %s", text, code);
    if (words != NULL && words[0] != '\0')
        text = arena_print(arena, "%s: %s", text, words);
    payment->failure_reason = "PAYMENT_REFUSED";
    payment->failure_detail = failure_text(arena, text);
}

/* ---- what the order wants ---- */

unsigned
payment_abandon(struct payment *payment, int64_t now_us)
{
    if (payment->claim != CLAIM_OPEN || payment->abandon_asked_us != 0)
        return 0;
    payment->abandon_asked_us = now_us;
    payment->url = ""; /* nobody is to pay there any more */
    payment_touched(payment, now_us);
    return CHANGE_OTHER;
}

unsigned
payment_decide_abandon(struct payment *payment, int64_t now_us)
{
    enum claim claim = claim_after((enum claim)payment->claim, CLAIM_GIVE_UP);

    if (payment->claim == (int32_t)claim)
        return 0;
    payment->claim = (int32_t)claim;
    payment_touched(payment, now_us);
    return CHANGE_CLAIM;
}

unsigned
payment_page_lost(struct payment *payment, int64_t now_us)
{
    payment->failure_reason = "PAYMENT_PAGE_LOST";
    payment->failure_detail =
        "the provider's answer with the page to pay at was lost, and it does not "
        "tell it again: please order once more";
    payment_unwanted(payment, now_us);
    return payment_decide_abandon(payment, now_us);
}

unsigned
payment_return(struct payment *payment, int64_t now_us)
{
    enum claim claim = claim_after((enum claim)payment->claim, CLAIM_RETURN);

    if (payment->claim == (int32_t)claim)
        return 0;
    /* On an open claim this is Abandon by a saga that has gone on to undo: were the claim left open, a
     * late success would stay with no order. */
    if (payment->claim == CLAIM_OPEN)
        payment_unwanted(payment, now_us);
    payment->claim = (int32_t)claim;
    payment_touched(payment, now_us);
    return CHANGE_CLAIM;
}

/* ---- what others are told ---- */

int64_t
payment_signal_due_us(const struct payment *payment, int64_t now_us)
{
    int64_t gap_us = now_us - payment->changed_at_us, wait_us = gap_us;

    if (gap_us < SIGNAL_FRESH_US)
        wait_us = SIGNAL_FRESH_US;
    if (wait_us > SIGNAL_AGAIN_US)
        wait_us = SIGNAL_AGAIN_US;
    if (gap_us / 60 > wait_us)
        wait_us = gap_us / 60;
    return now_us + (wait_us < SIGNAL_AGAIN_MAX_US ? wait_us : SIGNAL_AGAIN_MAX_US);
}

void
payment_tell_again(struct payment *payment, int64_t now_us)
{
    if (payment->signaled_version >= payment->version)
        payment->signaled_version = payment->version - 1;
    payment->signal_due_us = now_us + SIGNAL_FRESH_US;
}

static void
put_refunds(const struct payment *payment, struct arena *arena, struct json_writer *writer)
{
    size_t count;
    const struct refunded *set = payment_refunds(payment, arena, &count);

    json_open_array(writer, "refunds");
    for (size_t i = 0; i < count; i++) {
        json_open_object(writer, NULL);
        json_put_text(writer, "refundId", set[i].id);
        json_put_int(writer, "amountMinor", set[i].amount_minor);
        json_close_object(writer);
    }
    json_close_array(writer);
}

static void
put_identity(const struct payment *payment, struct json_writer *writer)
{
    char id[UUID_TEXT_BYTES + 1];

    json_put_text(writer, "paymentId", uuid_print(payment->record.id, id));
    json_put_text(writer, "orderId", uuid_print(payment->order_id, id));
    json_put_text(writer, "provider", payment->provider);
    json_put_int(writer, "amountMinor", payment->amount_minor);
    json_put_text(writer, "currency", payment->currency);
}

void
payment_registers(const struct payment *payment, struct arena *arena, struct json_writer *writer)
{
    json_open_object(writer, NULL);
    put_identity(payment, writer);
    json_put_text(writer, "observed", observed_word((enum observed)payment->observed));
    json_put_text(writer, "claim", claim_word((enum claim)payment->claim));
    json_put_text(writer, "url", payment->url);
    json_put_int(writer, "expiresAtUs", payment_expires_us(payment));
    json_put_int(writer, "version", payment->version);
    json_put_bool(writer, "refundDue", payment_refund_is_open(payment, arena));
    json_put_bool(writer, "quarantined", payment->is_quarantined);
    put_refunds(payment, arena, writer);
    json_put_text(writer, "reason", payment_failure_reason(payment));
    json_put_text(writer, "detail", payment_failure_detail(payment));
    json_close_object(writer);
}

void
payment_event(const struct payment *payment, const char *status, struct arena *arena,
              struct json_writer *writer, struct event *ret_event)
{
    json_open_object(writer, NULL);
    put_identity(payment, writer);
    json_put_text(writer, "status", status);
    json_put_text(writer, "claim", claim_word((enum claim)payment->claim));
    json_put_int(writer, "occurredAtUs", payment->occurred_at_us);
    json_put_bool(writer, "refundDue", payment_refund_is_open(payment, arena));
    put_refunds(payment, arena, writer);
    json_put_text(writer, "reason", payment_failure_reason(payment));
    json_close_object(writer);
    *ret_event = (struct event){ .aggregatetype = "payment",
                                 .aggregateid = payment->record.id,
                                 .version = payment->version,
                                 .type = "payment.observed",
                                 .payload = writer->text,
                                 .time_us = payment->changed_at_us,
                                 .traceparent = payment->traceparent };
}
