/* test_account_payment_rpc.c -- Webhooks as they come from the wire: who is believed, and how they are counted. */
#include "account-svc/edge/payment_rpc.h"
#include "account-svc/provider/provider_webhook.h"

#include "mesh/observe/metrics.h"
#include "sagamesh/payment/v1/payment_service.pb-c.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"

#include <stdio.h>
#include <string.h>

#define ID "0177d9b6-2950-7000-8000-000000000001" /* of SIGNED_AT */
/* The reference libraries' own vector. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define MSG "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SIGNED_AT INT64_C(1614265330)
#define BODY "{\"test\": 2432232314}"
#define GOOD "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static struct arena *arena;
static struct provider_set set;
static struct payment_edge edge;

static void
set_up(void)
{
    arena = arena_new();
    clock_set_test_us(SIGNED_AT * SECOND_US);
    set = (struct provider_set){ .count = 2 };
    snprintf(set.providers[0].name, sizeof set.providers[0].name, "other");
    set.providers[0].adapter = &provider_paypay;
    snprintf(set.providers[1].name, sizeof set.providers[1].name, "shop");
    set.providers[1].adapter = &provider_sandbox;
    ck_assert(signature_key_read(SECRET, &set.providers[1].secrets[0]));
    set.providers[1].secret_count = 1;
    payment_edge_init(&edge, &set);
}

static void
tear_down(void)
{
    clock_set_test_us(0);
    arena = arena_free(arena);
}

static const struct method *
method_find(const char *name)
{
    const struct method *method = payment_methods;

    while (method->name != NULL && strcmp(method->name, name) != 0)
        method++;
    return method->name == NULL ? NULL : method;
}

static void
check_rows(const ProtobufCServiceDescriptor *service)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        const char *name = service->methods[i].name;
        const struct read *read = payment_reads;

        ck_assert_msg(method_find(name) != NULL, "%s has no row", name);
        while (read->name != NULL && strcmp(read->name, name) != 0)
            read++;
        ck_assert_msg((method_find(name)->decide == NULL) == (read->name != NULL),
                      "%s is decided, or read, but not both", name);
    }
}

START_TEST(every_method_of_the_proto_has_a_row)
{
    const ProtobufCServiceDescriptor *all = &sagamesh__payment__v1__payment_service__descriptor,
                                     *inner =
                                         &sagamesh__payment__v1__payment_saga_service__descriptor;
    size_t rows = 0;

    while (payment_methods[rows].name != NULL)
        rows++;
    ck_assert_uint_eq(rows, all->n_methods + inner->n_methods);
    check_rows(all);
    check_rows(inner);
}
END_TEST

/* Decodes a webhook of this provider; *ret_observe is the op. */
static enum error
decode(const char *provider, const char *signature, const char *body,
       struct observe_payment *ret_observe)
{
    Sagamesh__Payment__V1__ObserveRequest request = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__INIT;
    Sagamesh__Payment__V1__Webhook webhook = SAGAMESH__PAYMENT__V1__WEBHOOK__INIT;
    Sagamesh__Payment__V1__Header headers[3], *list[3];
    static const char *const names[] = { "webhook-id", "webhook-timestamp", "webhook-signature" };
    const char *values[] = { MSG, "1614265330", signature };

    for (size_t i = 0; i < 3; i++) {
        sagamesh__payment__v1__header__init(&headers[i]);
        headers[i].name = (char *)names[i];
        headers[i].value = (char *)values[i];
        list[i] = &headers[i];
    }
    webhook.provider = (char *)provider;
    webhook.n_headers = 3;
    webhook.headers = list;
    webhook.body = (ProtobufCBinaryData){ .data = (uint8_t *)body, .len = strlen(body) };
    webhook.remote_address = "127.0.0.1";
    request.request_id = ID;
    request.what_case = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_WEBHOOK;
    request.webhook = &webhook;
    *ret_observe = (struct observe_payment){ .op.owner = &edge };
    return method_find("Observe")->decode(&request.base, arena, ret_observe);
}

static void
answer(struct observe_payment *observe, enum observe_outcome outcome)
{
    const Sagamesh__Payment__V1__ObserveResponse *response;

    observe->outcome = outcome;
    response = (const Sagamesh__Payment__V1__ObserveResponse *)method_find("Observe")->encode(
        observe, arena);
    ck_assert_int_eq((int)response->outcome, (int)outcome);
}

#define WEBHOOKS(provider, outcome)                                                                \
    "sagamesh_payment_webhooks_total{provider=\"" provider "\",outcome=\"" outcome "\"}"

/* A verified event of a type unheard of is taken (so that it is not sent again) and counted. */
START_TEST(webhooks_are_counted)
{
    atomic_uint_fast64_t *other = edge.webhooks[0], *shop = edge.webhooks[1];
    struct metrics *metrics = metrics_new();
    struct observe_payment observe;

    ck_assert_int_eq(decode("shop", GOOD, BODY, &observe), ERR_OK);
    ck_assert(observe.is_verified && uuid_is_nil(observe.payment_id));
    for (enum observe_outcome outcome = OBSERVE_STORED; outcome < OBSERVE_COUNT; outcome++) {
        for (int i = 0; i < (int)outcome; i++)
            answer(&observe, outcome);
        ck_assert_uint_eq(atomic_load(&shop[outcome]), outcome);
    }
    ck_assert_int_eq(decode("shop", "v1,AAAA", BODY, &observe), ERR_BAD_SIGNATURE);
    ck_assert_uint_eq(atomic_load(&shop[OBSERVE_NONE]), 1);
    ck_assert_int_eq(decode("other", GOOD, "{", &observe), ERR_BAD_REQUEST);
    ck_assert_uint_eq(atomic_load(&other[OBSERVE_NONE]), 1);
    ck_assert_uint_eq(atomic_load(&other[OBSERVE_IGNORED]), 0);
    ck_assert_int_eq(decode("nobody", GOOD, BODY, &observe), ERR_NOT_FOUND);
    payment_edge_meter(&edge, metrics);
    ck_assert(metric_shown(metrics, WEBHOOKS("shop", "UNKNOWN_PAYMENT")) ==
              OBSERVE_UNKNOWN_PAYMENT);
    ck_assert(metric_shown(metrics, WEBHOOKS("shop", "REFUSED")) == 1);
    ck_assert(metric_shown(metrics, WEBHOOKS("other", "STORED")) == 0);
    payment_edge_meter_end(&edge, metrics);
    metrics_free(metrics);
}
END_TEST

/* Two services of one process: each has providers and counts of its own. */
START_TEST(owners_are_apart)
{
    static struct provider_set nobody;
    struct payment_edge first = edge;
    struct observe_payment observe;

    ck_assert_int_eq(decode("shop", "v1,AAAA", BODY, &observe), ERR_BAD_SIGNATURE);
    ck_assert_uint_eq(atomic_load(&edge.webhooks[1][OBSERVE_NONE]), 1);
    ck_assert_uint_eq(atomic_load(&first.webhooks[1][OBSERVE_NONE]), 0);
    edge.providers = &nobody;
    ck_assert_int_eq(decode("shop", GOOD, BODY, &observe), ERR_NOT_FOUND);
}
END_TEST

/* A provider that does not sign, with a list: from elsewhere not even a query is made due. */
/* clang-format off */
static const struct {
    const char *what, *remote, *forwarded;
    bool is_taken;
} sources[] = {
    { "the provider itself",                  "13.112.237.64",         NULL,                               true  },
    { "the same, as IPv6 writes it",          "::ffff:13.112.237.64",  NULL,                               true  },
    { "somebody",                             "6.6.6.6",               NULL,                               false },
    { "somebody who says that he is it",      "6.6.6.6",               "13.112.237.64",                    false },
    { "by our proxy",                         "10.1.2.3",              "13.112.237.64",                    true  },
    { "by two of our proxies",                "10.1.2.3",              "13.112.237.64, 10.9.9.9",          true  },
    { "somebody by our proxy",                "10.1.2.3",              "6.6.6.6",                          false },
    { "and he wrote something before it",     "10.1.2.3",              "13.112.237.64, 6.6.6.6",           false },
    { "and before two of them",               "10.1.2.3",              "13.112.237.64,6.6.6.6,10.9.9.9",   false },
    { "our proxy itself",                     "10.1.2.3",              NULL,                               false },
    { "our proxy names nobody",               "10.1.2.3",              "13.112.237.64, ",                  false },
    { "our proxy names no address",           "10.1.2.3",              "unknown",                          false },
    { "the provider wrote what it likes",     "13.112.237.64",         "6.6.6.6",                          true  },
    { "no address at all",                    "",                      NULL,                               false },
};
/* clang-format on */

START_TEST(source_of_a_webhook)
{
    struct provider *other = &set.providers[0];
    struct provider_header header = { "X-Forwarded-For", sources[_i].forwarded };
    struct provider_webhook webhook = { .headers = &header,
                                        .header_count = sources[_i].forwarded != NULL,
                                        .remote_address = sources[_i].remote };
    struct problem problem = { 0 };

    ck_assert_int_eq(provider_source_check(other, &webhook, &problem), ERR_OK); /* no list */
    ck_assert(source_range_read("13.112.237.64", &other->webhook_addresses.ranges[0]));
    ck_assert(source_range_read("10.0.0.0/8", &other->trusted_proxies.ranges[0]));
    other->webhook_addresses.count = other->trusted_proxies.count = 1;
    ck_assert_msg((provider_source_check(other, &webhook, &problem) == ERR_OK) ==
                      sources[_i].is_taken,
                  "%s", sources[_i].what);
}
END_TEST

START_TEST(source_is_checked_on_the_wire)
{
    static const char hint[] = "{\"merchant_order_id\":\"" ID "\"}";
    struct provider *other = &set.providers[0];
    struct observe_payment observe;

    ck_assert_int_eq(decode("other", "", hint, &observe), ERR_OK);
    ck_assert(!observe.is_verified && !uuid_is_nil(observe.payment_id));
    ck_assert(source_range_read("13.112.237.64", &other->webhook_addresses.ranges[0]));
    other->webhook_addresses.count = 1;
    ck_assert_int_eq(decode("other", "", hint, &observe), ERR_BAD_SIGNATURE);
    ck_assert(source_range_read("127.0.0.0/8", &other->webhook_addresses.ranges[0]));
    ck_assert_int_eq(decode("other", "", hint, &observe), ERR_OK);
    ck_assert(!observe.is_verified); /* still only a hint */
}
END_TEST

/* clang-format off */
static const struct {
    const char *range, *inside, *outside; /* NULL inside: no range */
} ranges[] = {
    { "13.112.237.64",    "13.112.237.64",      "13.112.237.65"  },
    { "10.0.0.0/8",       "10.255.255.255",     "11.0.0.0"       },
    { "10.128.0.0/9",     "10.128.0.1",         "10.127.0.1"     },
    { "0.0.0.0/0",        "1.2.3.4",            "2001:db8::1"    },
    { "2001:db8::/33",    "2001:db8:7fff::1",   "2001:db8:8000::1" },
    { "::1",              "::1",                "127.0.0.1"      },
    { "10.0.0.1/8", NULL, NULL },  { "10.0.0.0/33", NULL, NULL }, { "10.0.0.0/", NULL, NULL },
    { "10.0.0.0/-1", NULL, NULL }, { "10.0.0", NULL, NULL },      { "", NULL, NULL },
    { "2001:db8::/129", NULL, NULL }, { "localhost", NULL, NULL }, { "10.0.0.0/8 ", NULL, NULL },
};
/* clang-format on */

START_TEST(range_is_read)
{
    struct source_list list = { .count = 1 };

    ck_assert_msg(source_range_read(ranges[_i].range, &list.ranges[0]) ==
                      (ranges[_i].inside != NULL),
                  "%s", ranges[_i].range);
    if (ranges[_i].inside == NULL)
        return;
    ck_assert_msg(source_list_has(&list, ranges[_i].inside), "%s", ranges[_i].range);
    ck_assert_msg(!source_list_has(&list, ranges[_i].outside), "%s", ranges[_i].range);
}
END_TEST

/* clang-format off */
static const struct {
    const char *provider, *currency;
    const char *reason; /* "" taken */
} creates[] = {
    { "shop",  "JPY", "" },
    { "shop",  "USD", "" },
    { "other", "JPY", "" },
    { "other", "USD", "UNSUPPORTED_CURRENCY" },
    { "none",  "JPY", "UNKNOWN_PROVIDER" },
};
/* clang-format on */

/* PayPay takes yen. */
START_TEST(currency_of_a_provider)
{
    Sagamesh__Payment__V1__CreateRequest request = SAGAMESH__PAYMENT__V1__CREATE_REQUEST__INIT;
    struct create_payment create = { .op.owner = &edge };
    enum error error;

    request.request_id = ID;
    request.order_id = ID;
    request.provider = (char *)creates[_i].provider;
    request.currency = (char *)creates[_i].currency;
    request.amount_minor = 500;
    request.expires_seconds = 900;
    error = method_find("Create")->decode(&request.base, arena, &create);
    ck_assert_int_eq(error, creates[_i].reason[0] == '\0' ? ERR_OK : ERR_REFUSED);
    ck_assert_str_eq(problem_reason(&create.op.problem), creates[_i].reason);
    if (strcmp(creates[_i].reason, "UNSUPPORTED_CURRENCY") == 0)
        ck_assert_str_eq(create.op.problem.field, "currency");
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("rpc");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_method_of_the_proto_has_a_row);
    tcase_add_test(tests, webhooks_are_counted);
    tcase_add_test(tests, owners_are_apart);
    tcase_add_loop_test(tests, currency_of_a_provider, 0, ROWS(creates));
    tcase_add_loop_test(tests, range_is_read, 0, ROWS(ranges));
    tcase_add_loop_test(tests, source_of_a_webhook, 0, ROWS(sources));
    tcase_add_test(tests, source_is_checked_on_the_wire);
    return check_run("payment rpc", tests);
}
