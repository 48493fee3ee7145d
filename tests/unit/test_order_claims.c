/* Idempotency-Keys without a database: what a Place is told of its key, in each state that the key can
 * be in, which answer stays, and which requests are refused. */
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "order-svc/order.h"
#include "tests/support/check.h"

#include <sagamesh/order/v1/order_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define ORDER(name) Sagamesh__Order__V1__##name
#define ORDER_INIT(name) SAGAMESH__ORDER__V1__##name##__INIT

static struct arena *arena;
static struct batch_rows *rows;
static int64_t now_us;

static void
set_up(void)
{
    now_us = clock_now_us();
    arena = arena_new();
    rows = batch_rows_new(&order_service, arena);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

static struct pg_bytes
bytes_of(const char *text)
{
    return (struct pg_bytes){ (const uint8_t *)text, strlen(text) };
}

/* A Place with the key "k", ready to be decided. */
static void
place_ready(struct place *place, struct uuid id, const char *fingerprint)
{
    *place = (struct place){ .op.id = id,
                             .op.now_us = now_us,
                             .op.traceparent = "",
                             .op.fingerprint = 7,
                             .customer_id = "alice",
                             .currency = "JPY",
                             .lines = "1 pen\n",
                             .payment_method = PAYMENT_WALLET,
                             .provider = "",
                             .return_url = "",
                             .flow = FLOW_DEFAULT,
                             .key = "k",
                             .key_fingerprint = bytes_of(fingerprint),
                             .lock_us = 30 * SECOND_US };
    batch_rows_touch_records(rows, id);
    place_touch(place, batch_rows_touch(rows));
}

#define LONGEST_LOCK_US (LOCK_MS_MAX * INT64_C(1000))

/* The key as an earlier Place left it, with that Place's order. */
static struct idempotency *
known_key(struct uuid order, const char *fingerprint, int64_t lock_us, int32_t http_status)
{
    struct place earlier;
    struct idempotency *known;

    place_ready(&earlier, order, fingerprint);
    place_decide(&earlier, rows);
    known = batch_find_text(rows, ORDER_IDEMPOTENCY, "k");
    known->locked_until_us = now_us + lock_us;
    known->http_status = http_status;
    known->body = bytes_of(http_status == 0 ? "" : "{}");
    return known;
}

/* clang-format off */
static const struct {
    const char *what, *fingerprint; /* of the key, asked for with "f"; NULL: it is not known */
    int64_t lock_us;
    int32_t http_status;
    enum claim claim;
    bool is_mine;    /* the order is the caller's own */
    bool is_claimed; /* anew */
} claims[] = {
    /*                                  fingerprint  lock  http  told             mine   claimed */
    { "an unknown key",                 NULL,        0,    0,    CLAIM_MINE,      true,  true  },
    { "somebody is at it",              "f",         1,    0,    CLAIM_IN_FLIGHT, false, false },
    { "the lock ends this microsecond", "f",         0,    0,    CLAIM_MINE,      false, true  },
    { "the lock has run out",           "f",         -1,   0,    CLAIM_MINE,      false, true  },
    { "the longest lock",               "f", LONGEST_LOCK_US,     0, CLAIM_IN_FLIGHT, false, false },
    { "a lock of a clock that ran ahead", "f", LONGEST_LOCK_US + 1, 0, CLAIM_MINE, false, true  },
    { "answered",                       "f",         -1,   201,  CLAIM_ANSWERED,  false, false },
    { "answered, and still locked",     "f",         1,    422,  CLAIM_ANSWERED,  false, false },
    { "another request",                "g",         -1,   0,    CLAIM_MISMATCH,  false, false },
    { "another, somebody is at it",     "g",         1,    0,    CLAIM_MISMATCH,  false, false },
    { "another, answered",              "g",         -1,   201,  CLAIM_MISMATCH,  false, false },
    { "a longer request",               "ff",        -1,   0,    CLAIM_MISMATCH,  false, false },
    { "one without a fingerprint",      "",          -1,   0,    CLAIM_MISMATCH,  false, false },
};
/* clang-format on */

START_TEST(claims_decide)
{
    struct uuid earlier = uuid_v7(now_us), id = uuid_v7(now_us);
    bool is_known = claims[_i].fingerprint != NULL;
    const struct idempotency *known;
    struct place place;

    if (is_known)
        known_key(earlier, claims[_i].fingerprint, claims[_i].lock_us, claims[_i].http_status);
    place_ready(&place, id, "f");
    place_decide(&place, rows);
    ck_assert_int_eq(place.op.problem.error, ERR_OK);
    place_answer(&place, rows);
    known = batch_find_text(rows, ORDER_IDEMPOTENCY, "k");
    ck_assert_msg(place.claim == claims[_i].claim, "%s: told %d", claims[_i].what, place.claim);
    ck_assert_msg((batch_find_uuid(rows, ORDER_ORDER, id) != NULL) == claims[_i].is_mine,
                  "%s: an order was made", claims[_i].what);
    ck_assert_msg(uuid_equal(known->claimed_by, id) == claims[_i].is_claimed, "%s: claimed",
                  claims[_i].what);
    if (claims[_i].is_claimed)
        ck_assert_msg(known->locked_until_us == now_us + 30 * SECOND_US, "%s: lock",
                      claims[_i].what);
    if (claims[_i].claim == CLAIM_MISMATCH)
        ck_assert_msg(uuid_is_nil(place.order.record.id), "%s: told", claims[_i].what);
    else
        ck_assert_msg(uuid_equal(place.order.record.id, claims[_i].is_mine ? id : earlier),
                      "%s: which order", claims[_i].what);
    ck_assert_msg(place.http_status ==
                      (claims[_i].claim == CLAIM_ANSWERED ? claims[_i].http_status : 0),
                  "%s: http", claims[_i].what);
}
END_TEST

/* A call that is repeated after its answer was lost is told the same, though it holds the lock. */
START_TEST(a_claim_asked_for_twice_is_the_same_claim)
{
    struct uuid first = uuid_v7(now_us), second = uuid_v7(now_us);
    struct idempotency *known = known_key(first, "f", -1, 0);
    struct place place;

    for (int i = 0; i < 2; i++) {
        place_ready(&place, second, "f");
        place_decide(&place, rows);
        place_answer(&place, rows);
        ck_assert_int_eq(place.claim, CLAIM_MINE);
        ck_assert(uuid_equal(place.order.record.id, first));
    }
    place_ready(&place, first,
                "f"); /* the first one wakes up: its order is known, its claim gone */
    place_answer(&place, rows);
    ck_assert_int_eq(place.claim, CLAIM_IN_FLIGHT);
    ck_assert(uuid_equal(place.order.record.id, first));
    known->locked_until_us = now_us;
    place_answer(&place, rows);
    ck_assert_int_eq(place.claim, CLAIM_IN_FLIGHT);
}
END_TEST

/* An order outlives its key: the key may be another order's by then. */
START_TEST(a_placed_order_is_reported_when_its_key_is_gone)
{
    struct uuid first = uuid_v7(now_us);
    struct idempotency *known = known_key(first, "f", -1, 0);
    struct place place;

    known->order_id = uuid_v7(now_us);
    known->fingerprint = bytes_of("g");
    place_ready(&place, first, "f");
    place_answer(&place, rows);
    ck_assert_int_eq(place.claim, CLAIM_MINE);
    ck_assert(uuid_equal(place.order.record.id, first));
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool is_known, is_other_order;
    int32_t stored_status, http_status;
    const char *body; /* stored is "{}" */
    const char *reason;
    bool is_stored;
    int32_t status_after;
} answers[] = {
    /*                               known  other  stored asked body   reason                  stored after */
    { "the first answer",            true,  false, 0,     201,  "{}",  "",                     true,  201 },
    { "an empty one",                true,  false, 0,     204,  "",    "",                     true,  204 },
    { "the same again",              true,  false, 201,   201,  "{}",  "",                     true,  201 },
    { "another status",              true,  false, 201,   422,  "{}",  "",                     false, 201 },
    { "another body",                true,  false, 201,   201,  "[]",  "",                     false, 201 },
    { "of another order",            true,  true,  0,     201,  "{}",  "KEY_OF_ANOTHER_ORDER", false, 0   },
    { "of a key that nobody has",    false, false, 0,     201,  "{}",  "NOT_FOUND",            false, 0   },
};
/* clang-format on */

START_TEST(answers_decide)
{
    struct uuid order = uuid_v7(now_us);
    struct store_answer answer = { .op.id = uuid_v7(now_us),
                                   .op.now_us = now_us,
                                   .key = "k",
                                   .order_id = answers[_i].is_other_order ? uuid_v7(now_us) : order,
                                   .http_status = answers[_i].http_status,
                                   .body = bytes_of(answers[_i].body) };
    struct idempotency *known = NULL;

    if (answers[_i].is_known)
        known = known_key(order, "f", 1, answers[_i].stored_status);
    store_answer_touch(&answer, batch_rows_touch(rows));
    store_answer_decide(&answer, rows);
    ck_assert_msg(strcmp(problem_reason(&answer.op.problem), answers[_i].reason) == 0, "%s: %s",
                  answers[_i].what, problem_reason(&answer.op.problem));
    if (answer.op.problem.error == ERR_OK)
        store_answer_answer(&answer, rows);
    ck_assert_msg(answer.is_stored == answers[_i].is_stored, "%s: stored", answers[_i].what);
    if (known != NULL)
        ck_assert_msg(known->http_status == answers[_i].status_after, "%s: after",
                      answers[_i].what);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool is_known, is_mine; /* the claim is whose who gives it back */
    int64_t lock_us;
    int32_t http_status;
    bool is_free;
    int64_t lock_after_us;
} releases[] = {
    /*                          known  mine   lock http  free   lock after */
    { "mine",                   true,  true,  1,   0,    true,  0  },
    { "mine, it has run out",   true,  true,  -1,  0,    true,  -1 },
    { "another's",              true,  false, 1,   0,    false, 1  },
    { "another's, run out",     true,  false, -1,  0,    true,  -1 },
    { "mine, answered",         true,  true,  1,   201,  true,  1  },
    { "nobody's",               false, false, 0,   0,    false, 0  },
};
/* clang-format on */

START_TEST(releases_decide)
{
    struct uuid order = uuid_v7(now_us), id = uuid_v7(now_us);
    struct release_key release = { .op.id = uuid_v7(now_us),
                                   .op.now_us = now_us,
                                   .key = "k",
                                   .claimed_by = releases[_i].is_mine ? order : id };
    struct idempotency *known = NULL;

    if (releases[_i].is_known)
        known = known_key(order, "f", releases[_i].lock_us, releases[_i].http_status);
    release_key_touch(&release, batch_rows_touch(rows));
    release_key_decide(&release, rows);
    ck_assert_int_eq(release.op.problem.error, ERR_OK);
    release_key_answer(&release, rows);
    ck_assert_msg(release.is_free == releases[_i].is_free, "%s: free", releases[_i].what);
    if (known != NULL)
        ck_assert_msg(known->locked_until_us == now_us + releases[_i].lock_after_us, "%s: lock",
                      releases[_i].what);
}
END_TEST

/* ---- requests ---- */

static char long_text[300], huge[ANSWER_BYTES_MAX + 1];

/* clang-format off */
static const struct {
    const char *what;
    size_t scope, key, fingerprint, body; /* bytes */
    int32_t lock_ms, http_status;
    const char *place_field, *answer_field;
} requests[] = {
    { "all is well",        5,   36,  32, 100,                  30000, 201, "",                        ""            },
    { "the least",          1,   1,   0,  0,                    0,     200, "",                        ""            },
    { "the most",           128, 255, 64, ANSWER_BYTES_MAX,     60000, 599, "",                        ""            },
    { "no scope",           0,   36,  32, 0,                    0,     201, "idempotency.scope",       "scope"       },
    { "a long scope",       129, 36,  32, 0,                    0,     201, "idempotency.scope",       "scope"       },
    { "no key",             5,   0,   32, 0,                    0,     201, "idempotency.key",         "key"         },
    { "a long key",         5,   256, 32, 0,                    0,     201, "idempotency.key",         "key"         },
    { "a long fingerprint", 5,   36,  65, 0,                    0,     201, "idempotency.fingerprint", ""            },
    { "a long lock",        5,   36,  32, 0,                    60001, 201, "idempotency.lock_ms",     ""            },
    { "a lock backwards",   5,   36,  32, 0,                    -1,    201, "idempotency.lock_ms",     ""            },
    { "no status",          5,   36,  32, 0,                    0,     0,   "",                        "http_status" },
    { "not a final status", 5,   36,  32, 0,                    0,     100, "",                        "http_status" },
    { "a huge body",        5,   36,  32, ANSWER_BYTES_MAX + 1, 0,     201, "",                        "body"        },
};
/* clang-format on */

static const struct method *
method_of(const char *name)
{
    const struct method *method = order_methods;

    while (strcmp(method->name, name) != 0)
        method++;
    return method;
}

static struct place *
place_of(ORDER(Idempotency) * idempotency, char *id)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) line = ORDER_INIT(ORDER_LINE);
    ORDER(OrderLine) *list = &line;
    struct place *place = arena_take(arena, sizeof *place);

    request.order_id = id;
    request.customer_id = (char *)"alice";
    request.currency = (char *)"JPY";
    line.sku = (char *)"pen";
    line.quantity = 1;
    request.lines = &list;
    request.n_lines = 1;
    request.idempotency = idempotency;
    method_of("Place")->decode(&request.base, arena, place);
    return place;
}

START_TEST(keys_decode)
{
    ORDER(Idempotency) idempotency = ORDER_INIT(IDEMPOTENCY);
    ORDER(StoreAnswerRequest) request = ORDER_INIT(STORE_ANSWER_REQUEST);
    struct store_answer answer = { 0 };
    char id[UUID_TEXT_BYTES + 1];

    memset(long_text, 'x', sizeof long_text - 1);
    uuid_print(uuid_v7(now_us), id);
    request.scope = idempotency.scope = arena_copy(arena, long_text, requests[_i].scope);
    request.key = idempotency.key = arena_copy(arena, long_text, requests[_i].key);
    idempotency.fingerprint.data = (uint8_t *)long_text;
    idempotency.fingerprint.len = requests[_i].fingerprint;
    idempotency.lock_ms = requests[_i].lock_ms;
    request.request_id = request.order_id = id;
    request.http_status = requests[_i].http_status;
    request.body.data = (uint8_t *)huge;
    request.body.len = requests[_i].body;
    method_of("StoreAnswer")->decode(&request.base, arena, &answer);
    ck_assert_msg(strcmp(answer.op.problem.field, requests[_i].answer_field) == 0, "%s: %s",
                  requests[_i].what, answer.op.problem.field);
    ck_assert_msg(strcmp(place_of(&idempotency, id)->op.problem.field, requests[_i].place_field) ==
                      0,
                  "%s", requests[_i].what);
}
END_TEST

/* The end of a scope is not the beginning of a key; and a key is part of what an order id stands for. */
START_TEST(a_key_has_its_scope)
{
    ORDER(Idempotency) one = ORDER_INIT(IDEMPOTENCY), other = ORDER_INIT(IDEMPOTENCY);
    char id[UUID_TEXT_BYTES + 1];
    const struct place *bare, *first, *second;

    uuid_print(uuid_v7(now_us), id);
    one.scope = (char *)"ab";
    one.key = (char *)"c";
    other.scope = (char *)"a";
    other.key = (char *)"bc";
    bare = place_of(NULL, id);
    first = place_of(&one, id);
    second = place_of(&other, id);
    ck_assert_str_eq(bare->key, "");
    ck_assert_str_ne(first->key, second->key);
    ck_assert(bare->op.fingerprint != first->op.fingerprint);
    ck_assert(first->op.fingerprint != second->op.fingerprint);
    one.lock_ms = 5; /* how long it may take is not */
    ck_assert(place_of(&one, id)->op.fingerprint == first->op.fingerprint);
    one.key = (char *)"a\x1f"
                      "b";
    ck_assert_str_eq(place_of(&one, id)->op.problem.field, "idempotency.key");
}
END_TEST

int
main(void)
{
    TCase *keys = check_case("keys");

    tcase_add_checked_fixture(keys, set_up, tear_down);
    tcase_add_loop_test(keys, claims_decide, 0, ROWS(claims));
    tcase_add_test(keys, a_claim_asked_for_twice_is_the_same_claim);
    tcase_add_test(keys, a_placed_order_is_reported_when_its_key_is_gone);
    tcase_add_loop_test(keys, answers_decide, 0, ROWS(answers));
    tcase_add_loop_test(keys, releases_decide, 0, ROWS(releases));
    tcase_add_loop_test(keys, keys_decode, 0, ROWS(requests));
    tcase_add_test(keys, a_key_has_its_scope);
    return check_run("order claims", keys);
}
