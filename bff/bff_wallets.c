/* bff_wallets.c -- What is in a wallet, and money put into one.
 *
 * A top-up says that money has arrived from outside, so only operators may: a customer pays in at a
 * provider. Its Idempotency-Key must be a UUIDv7. A transfer's id must carry its time (it names the
 * week its row lies in), must be the same whenever the request is repeated, and nothing here remembers
 * when it came first; so the time has to come with the key. The transfer's id is made of both, and
 * then the ledger itself sees to once and only once.
 */
#include "bff/bff_job.h"
#include "bff/bff_routes.h"
#include "mesh/base/clock.h"

#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <string.h>

#define LEDGER "sagamesh.ledger.v1.LedgerService/"

enum { REFERENCE_BYTES_MAX = 64 };
#define AMOUNT_MAX INT64_C(1000000000000000)

/* {customerId} of the path, of one who may see it. NULL: answered. */
static const char *
read_customer(struct job *job)
{
    const char *customer_id = job->exchange->parameters[0];
    struct problem problem;

    if (check_customer(&problem, "customerId", customer_id) != ERR_OK) {
        http_refuse(job->exchange, NULL,
                    arena_print(job->arena, "the customer id in the path %s", problem.text));
        return NULL;
    }
    job_about(job, customer_id);
    return job_may_act_for(job, customer_id, NULL) ? customer_id : NULL;
}

/* ---- balance ---- */

static void
balance_shown(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Ledger__V1__BalanceResponse *balance =
        job_reply(job, result, &sagamesh__ledger__v1__balance_response__descriptor);
    struct json_writer json = { 0 };

    if (balance == NULL)
        return;
    json_open_object(&json, NULL);
    json_put_text(&json, "customerId", job->exchange->parameters[0]);
    json_put_text(&json, "currency", balance->currency);
    json_put_int(&json, "balance", balance->balance_minor);
    json_close_object(&json);
    http_answer_json(job->exchange, 200, &json, NULL);
}

/* clang-format off */
static const struct field_name balance_names[] = {
    { "currency", NULL, "currency" },
    { 0 },
};
/* clang-format on */

static void
wallet_get(struct http_exchange *exchange)
{
    static const char *const names[] = { "currency", NULL };
    struct job *job = job_open_with_token(exchange);
    Sagamesh__Ledger__V1__BalanceRequest balance = SAGAMESH__LEDGER__V1__BALANCE_REQUEST__INIT;
    struct problem problem;
    const char *customer_id;

    if (!http_check_query(job->exchange, names) || (customer_id = read_customer(job)) == NULL)
        return;
    job->fields = balance_names;
    balance.customer_id = (char *)customer_id;
    balance.currency = (char *)http_read_query(job->exchange, "currency");
    if (check_currency(&problem, "currency", balance.currency) != ERR_OK)
        http_refuse(job->exchange, NULL,
                    arena_print(job->arena, "the parameter currency %s", problem.text));
    else
        job_send(job, BFF_ACCOUNT, LEDGER "Balance", &balance.base, balance_shown);
}

/* ---- top-up ---- */

/* clang-format off */
static const struct field_name top_up_names[] = {
    { "amount_minor", "/amount",    NULL },
    { "currency",     "/currency",  NULL },
    { "reference",    "/reference", NULL },
    { 0 },
};
/* clang-format on */

struct top_up {
    int64_t amount;
    const char *currency, *reference;
    char open_id[UUID_TEXT_BYTES + 1], transfer_id[UUID_TEXT_BYTES + 1];
};

/* clang-format off */
static const struct body_field top_up_fields[] = {
    { "amount",    BODY_INT,  true,  offsetof(struct top_up, amount),    .fields = NULL },
    { "currency",  BODY_TEXT, true,  offsetof(struct top_up, currency),  .fields = NULL },
    { "reference", BODY_TEXT, false, offsetof(struct top_up, reference), .fields = NULL },
    { 0 },
};
/* clang-format on */

static void
topped_up(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Ledger__V1__TopUpResponse *response;
    const struct top_up *top_up = job->state;
    struct json_writer json = { 0 };

    if (result->meaning == RPC_REFUSED && result->code == WIRE_ALREADY_EXISTS) {
        http_answer_problem(
            job->exchange, &(struct http_problem){
                               .status = 422,
                               .code = "IDEMPOTENCY_KEY_REUSED",
                               .detail = "this Idempotency-Key came with another request before" });
        return;
    }
    response = job_reply(job, result, &sagamesh__ledger__v1__top_up_response__descriptor);
    if (response == NULL)
        return;
    json_open_object(&json, NULL);
    json_put_text(&json, "transferId", response->transfer_id);
    json_put_text(&json, "customerId", job->exchange->parameters[0]);
    json_put_int(&json, "amount", top_up->amount);
    json_put_text(&json, "currency", top_up->currency);
    json_close_object(&json);
    http_answer_json(job->exchange, 201, &json, NULL);
}

static void
wallet_opened(struct job *job, const struct rpc_result *result)
{
    Sagamesh__Ledger__V1__TopUpRequest request = SAGAMESH__LEDGER__V1__TOP_UP_REQUEST__INIT;
    struct top_up *top_up = job->state;

    if (job_reply(job, result, &sagamesh__ledger__v1__open_wallet_response__descriptor) == NULL)
        return;
    request.request_id = top_up->transfer_id;
    request.customer_id = (char *)job->exchange->parameters[0];
    request.amount_minor = top_up->amount;
    request.currency = (char *)top_up->currency;
    request.reference = (char *)(top_up->reference == NULL ? "" : top_up->reference);
    job_send(job, BFF_ACCOUNT, LEDGER "TopUp", &request.base, topped_up);
}

/* Two ids, for the wallet and for the transfer, the same for every repeat of the request. The wallet's
 * takes the currency in too: opening one that exists is fine, with any id. */
static bool
make_ids(struct job *job, const char *key, struct top_up *top_up)
{
    struct problem problem;
    struct uuid id;
    const char *seed;

    if (id_check(key, "Idempotency-Key", clock_now_us(), &problem, &id) != ERR_OK) {
        http_answer_problem(
            job->exchange,
            &(struct http_problem){
                .status = error_http_status(problem.error),
                .code = problem.reason,
                .detail = arena_print(job->arena, "the header Idempotency-Key %s", problem.text) });
        return false;
    }
    seed = arena_print(job->arena, "%s\n%s\ntop-up", job->principal.customer_id, key);
    uuid_print(uuid_v8(uuid_time_us(id), seed, strlen(seed)), top_up->transfer_id);
    seed = arena_print(job->arena, "%s\nopen\n%s\n%s", seed, job->exchange->parameters[0],
                       top_up->currency);
    uuid_print(uuid_v8(uuid_time_us(id), seed, strlen(seed)), top_up->open_id);
    return true;
}

static bool
check_top_up(struct job *job, const struct top_up *top_up)
{
    struct problem problem;
    enum error error = check_range(&problem, "/amount", top_up->amount, 1, AMOUNT_MAX);

    if (error == ERR_OK)
        error = check_currency(&problem, "/currency", top_up->currency);
    if (error == ERR_OK && top_up->reference != NULL)
        error = check_text(&problem, "/reference", top_up->reference, 0, REFERENCE_BYTES_MAX);
    if (error != ERR_OK)
        http_refuse(job->exchange, problem.field, problem.text);
    return error == ERR_OK;
}

static void
wallet_top_up(struct http_exchange *exchange)
{
    struct job *job = job_open_with_token(exchange);
    Sagamesh__Ledger__V1__OpenWalletRequest open = SAGAMESH__LEDGER__V1__OPEN_WALLET_REQUEST__INIT;
    struct top_up *top_up;
    const char *customer_id, *key;

    if ((customer_id = read_customer(job)) == NULL)
        return;
    if (!job->principal.is_operator) {
        http_answer_problem(
            job->exchange,
            &(struct http_problem){ .status = 403,
                                    .code = "OPERATORS_ONLY",
                                    .detail = "only an operator can say that money has arrived" });
        return;
    }
    top_up = job->state = arena_take(job->arena, sizeof *top_up);
    if ((key = http_read_key(job->exchange)) == NULL ||
        !http_read_body(job->exchange, top_up_fields, top_up) || !check_top_up(job, top_up) ||
        !make_ids(job, key, top_up))
        return;
    job->fields = top_up_names;
    open.request_id = top_up->open_id;
    open.customer_id = (char *)customer_id;
    open.currency = (char *)top_up->currency;
    job_send(job, BFF_ACCOUNT, LEDGER "OpenWallet", &open.base, wallet_opened);
}

/* ---- routes ---- */

/* clang-format off */
const struct http_route wallet_routes[] = {
    { .method = "GET",  .path = "/api/v1/wallets/{customerId}",        .handler = wallet_get,    .without_redis = "works" },
    { .method = "POST", .path = "/api/v1/wallets/{customerId}/topups", .handler = wallet_top_up, .body_bytes_max = BODY_BYTES_MAX, .content_type = JSON_TYPE, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
