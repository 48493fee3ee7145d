/* test_account_payment_rpc.c -- Webhooks as they come from the wire: who is believed, and how they are counted. */
#include "account-svc/payment_rpc.h"
#include "account-svc/provider_webhook.h"

#include "sagamesh/payment/v1/payment_service.pb-c.h"

#include <check.h>
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
    ck_assert(webhook_secret_read(SECRET, &set.providers[1].secrets[0]));
    set.providers[1].secret_count = 1;
    payment_rpc_open(&set);
}

static void
tear_down(void)
{
    payment_rpc_open(NULL);
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

START_TEST(every_method_of_the_proto_has_a_row)
{
    const ProtobufCServiceDescriptor *service = &sagamesh__payment__v1__payment_service__descriptor;
    size_t rows = 0;

    while (payment_methods[rows].name != NULL)
        rows++;
    ck_assert_uint_eq(rows, service->n_methods);
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
    memset(ret_observe, 0, sizeof *ret_observe);
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

/* A verified event of a type unheard of is taken (so that it is not sent again) and counted. */
START_TEST(webhooks_are_counted)
{
    const struct provider *other = &set.providers[0], *shop = &set.providers[1];
    struct observe_payment observe;

    ck_assert_int_eq(decode("shop", GOOD, BODY, &observe), ERR_OK);
    ck_assert(observe.is_verified && uuid_is_nil(observe.payment_id));
    for (enum observe_outcome outcome = OBSERVE_STORED; outcome < OBSERVE_COUNT; outcome++) {
        for (int i = 0; i < (int)outcome; i++)
            answer(&observe, outcome);
        ck_assert_uint_eq(payment_rpc_count(shop, outcome), outcome);
    }
    ck_assert_int_eq(decode("shop", "v1,AAAA", BODY, &observe), ERR_BAD_SIGNATURE);
    ck_assert_uint_eq(payment_rpc_count(shop, OBSERVE_NONE), 1);
    ck_assert_int_eq(decode("other", GOOD, "{", &observe), ERR_BAD_REQUEST);
    ck_assert_uint_eq(payment_rpc_count(other, OBSERVE_NONE), 1);
    ck_assert_uint_eq(payment_rpc_count(other, OBSERVE_IGNORED), 0);
    ck_assert_int_eq(decode("nobody", GOOD, BODY, &observe), ERR_NOT_FOUND);
    payment_rpc_log_counts();
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("payment rpc");
    TCase *tests = tcase_create("rpc");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_method_of_the_proto_has_a_row);
    tcase_add_test(tests, webhooks_are_counted);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
