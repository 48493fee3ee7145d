/* provider_http.c -- The routes of the provider, and what each asks of the books.
 *
 * A request goes to the desk as its route's act, which fills the answer; it leaves once the journal is on disk.
 */
#include "sandbox/provider/provider_http.h"
#include "mesh/base/arena.h"
#include "mesh/base/time.h"
#include "sandbox/provider/provider_page.h"
#include "sandbox/provider/provider_record.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { BODY_BYTES_MAX = 16 * 1024, AUTOPAY_MS_MAX = 24 * 3600 * 1000 };

/* What is done at the desk for a route. */
struct act {
    void (*act)(struct desk *desk, struct call *call);
    bool is_api; /* the faults of API calls strike it */
};

/* ---- the server's loop ----------------------------------------------------------------------- */

static bool
key_admit(void *owner, struct http_exchange *exchange, struct http_problem *ret_problem)
{
    static const char *const challenge[] = { "WWW-Authenticate: Bearer", NULL };
    const struct provider *provider = owner;
    const char *authorization = http_header_find(exchange->request, "authorization");
    size_t bytes = strlen(provider->api_key);

    *ret_problem = (struct http_problem){ .status = 401,
                                          .code = "UNAUTHENTICATED",
                                          .detail = "the API key is missing or wrong",
                                          .headers = challenge };
    return strncmp(authorization, "Bearer ", 7) == 0 && strlen(authorization + 7) == bytes &&
           CRYPTO_memcmp(authorization + 7, provider->api_key, bytes) == 0;
}

static void
take(struct http_exchange *exchange)
{
    struct provider *provider = exchange->owner;
    const struct act *act = exchange->route->own;

    desk_take(&provider->desk, exchange, act->is_api, act->act);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

/* NULL: refused. The caller's to decref. An empty body is an empty object. */
static json_t *
body_read(struct desk *desk, struct call *call)
{
    const struct http_request *request = call->exchange->request;
    struct problem problem = { 0 };
    json_t *body = NULL;

    if (request->body_bytes == 0)
        return json_object();
    if (json_read((const char *)request->body, request->body_bytes, "body", &problem, &body) ==
            ERR_OK &&
        json_is_object(body))
        return body;
    if (body != NULL)
        problem_set(&problem, ERR_BAD_REQUEST, "body", "must be a JSON object");
    json_decref(body);
    call_refuse(desk, call, &problem, NULL);
    return NULL;
}

/* A text, or "" when it is not there. False: it is something else. */
static bool
text_read(const json_t *body, const char *key, struct problem *problem, const char **ret_text)
{
    const json_t *value = json_object_get(body, key);

    if (value != NULL &&
        (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))) {
        problem_set(problem, ERR_BAD_REQUEST, key, "must be a text");
        return false;
    }
    *ret_text = value == NULL ? "" : json_string_value(value);
    return true;
}

/* An integer; a number with a point is none. */
static bool
int_read(const json_t *body, const char *key, int64_t min, int64_t max, struct problem *problem,
         int64_t *ret_number)
{
    const json_t *value = json_object_get(body, key);

    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        problem_set(problem, ERR_BAD_REQUEST, key, "must be an integer from %lld to %lld",
                    (long long)min, (long long)max);
        return false;
    }
    *ret_number = json_integer_value(value);
    return true;
}

static bool
id_read(const json_t *body, struct problem *problem, const char **ret_id)
{
    if (!text_read(body, "id", problem, ret_id))
        return false;
    if (payment_id_is_valid(*ret_id))
        return true;
    problem_set(problem, ERR_BAD_REQUEST, "id", "must be 1 to %d letters, digits, - and _",
                PAYMENT_ID_BYTES_MAX);
    return false;
}

static bool
autopay_read(const json_t *body, struct payment_request *request, struct problem *problem)
{
    const json_t *autopay = json_object_get(body, "autopay");
    const char *outcome;
    int64_t after_ms = 0;

    request->autopay = PAYMENT_EVENT_COUNT;
    if (autopay == NULL)
        return true;
    if (!json_is_object(autopay))
        return problem_set(problem, ERR_BAD_REQUEST, "autopay", "must be an object") == ERR_OK;
    if (!text_read(autopay, "outcome", problem, &outcome) ||
        !int_read(autopay, "afterMs", 0, AUTOPAY_MS_MAX, problem, &after_ms))
        return false;
    request->autopay = payment_event_of(outcome);
    request->autopay_after_us = after_ms * 1000;
    if (strcmp(outcome, "none") == 0 || request->autopay < PAYMENT_EXPIRE)
        return true;
    problem_set(problem, ERR_BAD_REQUEST, "autopay.outcome",
                "must be pay, fail, pend, authorize, decline or none");
    return false;
}

static bool
request_read(const json_t *body, struct payment_request *request, struct problem *problem)
{
    const char *expires;

    if (!id_read(body, problem, &request->id) ||
        !int_read(body, "amount", 1, AMOUNT_MINOR_MAX, problem, &request->amount_minor) ||
        !text_read(body, "currency", problem, &request->currency) ||
        !text_read(body, "description", problem, &request->description) ||
        !text_read(body, "returnUrl", problem, &request->return_url) ||
        !text_read(body, "webhookUrl", problem, &request->webhook_url) ||
        !text_read(body, "expiresAt", problem, &expires) ||
        !faults_read(json_object_get(body, "faults"), -1, &request->faults, problem) ||
        !autopay_read(body, request, problem))
        return false;
    if (expires[0] == '\0' || time_read(expires, &request->expires_us))
        return true;
    problem_set(problem, ERR_BAD_REQUEST, "expiresAt", "must be a time like 2026-11-21T12:00:00Z");
    return false;
}

/* ---- the merchant ---------------------------------------------------------------------------- */

/* After what was asked for is done: the answer may get lost. */
static void
answer_lose(struct desk *desk, struct call *call, struct payment *payment)
{
    if (!fault_use(&payment->faults, FAULT_TIMEOUT_AFTER))
        return;
    payment_changed(desk->books, payment);
    call->is_lost = true;
    call->answer_us = call->now_us + payment->faults.of[FAULT_TIMEOUT_AFTER].value_ms * 1000;
}

/* True: it is one of the calls that this fault answers with 500. */
static bool
is_struck(struct desk *desk, struct call *call, struct payment *payment, enum fault fault)
{
    struct problem problem = { 0 };

    if (!fault_use(&payment->faults, fault))
        return false;
    payment_changed(desk->books, payment);
    problem_set(&problem, ERR_INTERNAL, NULL, "this is what was asked for: %s", fault_name(fault));
    call_refuse(desk, call, &problem, NULL);
    return true;
}

/* The payment that the path names, with what time has done to it. NULL: refused. */
static struct payment *
payment_asked(struct desk *desk, struct call *call)
{
    struct payment *payment = books_find(desk->books, call->exchange->parameters[0]);
    struct problem problem = { 0 };

    if (payment != NULL)
        payment_turn(desk->books, payment, call->now_us);
    if (payment != NULL && !call_may_act(desk, call, payment))
        return NULL;
    if (payment != NULL && payment->is_made)
        return payment;
    problem_set(&problem, ERR_NOT_FOUND, "id", "there is no such payment");
    call_refuse(desk, call, &problem, NULL);
    return NULL;
}

/* Faults that come with the request are those of a payment that is new. */
static void
create(struct desk *desk, struct call *call, const struct payment_request *request)
{
    struct payment *payment = books_find(desk->books, request->id);
    struct problem problem = { 0 };
    bool is_new = payment == NULL || !payment->is_made;
    int status = is_new ? 201 : 200;

    if (payment == NULL && (payment = books_meet(desk->books, request->id)) != NULL) {
        for (size_t i = 0; i < FAULT_COUNT; i++) {
            if (fault_is_on(&request->faults, (enum fault)i))
                payment->faults.of[i] = request->faults.of[i];
        }
    }
    if (payment == NULL) {
        problem_set(&problem, ERR_BUSY, NULL, "the books are full");
        call_refuse(desk, call, &problem, NULL);
        return;
    }
    payment_turn(desk->books, payment, call->now_us);
    if (!call_may_act(desk, call, payment))
        return;
    if (!payment->is_made && fault_use(&payment->faults, FAULT_REFUSES)) {
        problem_set(&problem, ERR_BAD_REQUEST, NULL, "this is what was asked for: refuses");
        snprintf(problem.reason, sizeof problem.reason, "RISK_REJECTED");
        call_refuse(desk, call, &problem, NULL);
        return;
    }
    if (payment_create(desk->books, payment, request, call->now_us, &problem) != ERR_OK)
        call_refuse(desk, call, &problem, payment);
    else
        call_payment(desk, call, status, payment);
    answer_lose(desk, call, payment);
}

static void
create_act(struct desk *desk, struct call *call)
{
    struct payment_request request = { 0 };
    struct problem problem = { 0 };
    json_t *body = body_read(desk, call);

    if (body == NULL)
        return;
    if (!request_read(body, &request, &problem) || payment_request_check(&request, &problem))
        call_refuse(desk, call, &problem, NULL);
    else
        create(desk, call, &request);
    json_decref(body);
}

static void
query_act(struct desk *desk, struct call *call)
{
    struct payment *payment = payment_asked(desk, call);

    if (payment == NULL)
        return;
    call_payment(desk, call, 200, payment);
    answer_lose(desk, call, payment);
}

static void
cancel_act(struct desk *desk, struct call *call)
{
    struct payment *payment = payment_asked(desk, call);
    struct problem problem = { 0 };

    if (payment == NULL)
        return;
    if (is_struck(desk, call, payment, FAULT_CANCEL_500))
        return;
    if (payment_do(desk->books, payment, PAYMENT_CANCEL, call->now_us, &problem) == ERR_OK)
        call_payment(desk, call, 200, payment);
    else
        call_refuse(desk, call, &problem, payment);
    answer_lose(desk, call, payment);
}

static void
refund_answer(struct desk *desk, struct call *call, const struct payment *payment, size_t index)
{
    const struct refund *refund = &payment->refunds[index];

    call->status = 200;
    call->content_type = "application/json";
    json_open_object(&call->body, NULL);
    json_put_text(&call->body, "id", refund->id);
    json_put_int(&call->body, "amount", refund->amount_minor);
    json_put_text(&call->body, "status", "SUCCEEDED");
    payment_answer_write(&call->body, "payment", payment, desk->base_url);
    json_close_object(&call->body);
}

static void
refund_act(struct desk *desk, struct call *call)
{
    json_t *body = body_read(desk, call);
    struct problem problem = { 0 };
    struct payment *payment;
    const char *id = "";
    int64_t amount_minor = 0;
    size_t index;

    if (body == NULL)
        return;
    if (!id_read(body, &problem, &id) ||
        !int_read(body, "amount", 1, AMOUNT_MINOR_MAX, &problem, &amount_minor)) {
        call_refuse(desk, call, &problem, NULL);
    } else if ((payment = payment_asked(desk, call)) != NULL &&
               !is_struck(desk, call, payment, FAULT_REFUND_500)) {
        if (payment_refund(desk->books, payment, id, amount_minor, call->now_us, &problem,
                           &index) == ERR_OK)
            refund_answer(desk, call, payment, index);
        else
            call_refuse(desk, call, &problem, payment);
        answer_lose(desk, call, payment);
    }
    json_decref(body);
}

/* ---- the payer ------------------------------------------------------------------------------- */

static void
page_act(struct desk *desk, struct call *call)
{
    struct payment *payment = payment_asked(desk, call);
    const char *page;

    if (payment == NULL)
        return;
    page = page_write(call->exchange->arena, payment);
    call->status = 200;
    call->content_type = "text/html; charset=utf-8";
    json_put_raw(&call->body, NULL, page, strlen(page));
}

/* A browser goes where the shop wants it; a program gets JSON. */
static void
payer_answer(struct desk *desk, struct call *call, const struct payment *payment)
{
    const struct http_request *request = call->exchange->request;

    if (strstr(http_header_find(request, "accept"), "application/json") != NULL ||
        strstr(http_header_find(request, "content-type"), "application/json") != NULL) {
        call_payment(desk, call, 200, payment);
        return;
    }
    call->status = 303;
    call->content_type = "text/plain";
    call->location = payment->return_url;
    if (payment->return_url[0] == '\0')
        call->location = arena_print(call->exchange->arena, "/checkout/%s", payment->id);
}

static void
payer_act(struct desk *desk, struct call *call)
{
    enum payment_event event = payment_event_of(call->exchange->parameters[1]);
    struct payment *payment = payment_asked(desk, call);
    struct problem problem = { 0 };

    if (payment == NULL)
        return;
    if (event == PAYMENT_EXPIRE || event == PAYMENT_CANCEL || event == PAYMENT_EVENT_COUNT)
        problem_set(&problem, ERR_NOT_FOUND, NULL,
                    "payers can pay, fail, pend, authorize, decline or pay-late");
    else
        payment_do(desk->books, payment, event, call->now_us, &problem);
    if (problem.error != ERR_OK)
        call_refuse(desk, call, &problem, payment);
    else
        payer_answer(desk, call, payment);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* "tell" is what a provider does whose outage is over: it says how the payment stands. *ret_told: NULL where
 * that is not asked for. */
static bool
tell_read(struct desk *desk, const json_t *body, const char *id, struct problem *problem,
          struct payment **ret_told)
{
    const json_t *tell = json_object_get(body, "tell");

    *ret_told = NULL;
    if (tell == NULL)
        return true;
    if (!json_is_true(tell))
        return problem_set(problem, ERR_BAD_REQUEST, "tell", "must be true") == ERR_OK;
    *ret_told = books_find(desk->books, id);
    if (*ret_told != NULL && (*ret_told)->is_made)
        return true;
    return problem_set(problem, ERR_BAD_REQUEST, "payment", "must be made, to tell of it") ==
           ERR_OK;
}

/* They take the place of those that are there: without any all is well again. */
static enum error
faults_set(struct desk *desk, const json_t *body, int64_t now_us, struct problem *problem)
{
    const char *id = "";
    struct payment *payment, *told;
    struct faults faults = { 0 };
    int64_t times = -1;
    bool is_all;

    if (!text_read(body, "payment", problem, &id) ||
        !int_read(body, "times", 0, FAULT_TIMES_MAX, problem, &times))
        return problem->error;
    is_all = strcmp(id, "*") == 0;
    if (!is_all && !payment_id_is_valid(id))
        return problem_set(problem, ERR_BAD_REQUEST, "payment", "must be an id, or *");
    if (!faults_read(json_object_get(body, "faults"), is_all ? -1 : times, &faults, problem) ||
        !tell_read(desk, body, id, problem, &told))
        return problem->error;
    if (is_all) {
        desk->books->next_faults = faults;
        desk->books->next_faults_left = times;
        desk->has_new_faults = true;
        return ERR_OK;
    }
    payment = books_meet(desk->books, id);
    if (payment == NULL)
        return problem_set(problem, ERR_BUSY, NULL, "the books are full");
    if (told != NULL)
        payment_turn(desk->books, payment, now_us);
    payment->faults = faults;
    payment_changed(desk->books, payment);
    if (told != NULL)
        payment_tell(desk->books, payment, now_us);
    return ERR_OK;
}

static void
faults_act(struct desk *desk, struct call *call)
{
    json_t *body = body_read(desk, call);
    struct problem problem = { 0 };

    if (body == NULL)
        return;
    if (faults_set(desk, body, call->now_us, &problem) != ERR_OK)
        call_refuse(desk, call, &problem, NULL);
    else
        call->status = 204;
    json_decref(body);
}

static void
books_act(struct desk *desk, struct call *call)
{
    const struct books *books = desk->books;

    call->status = 200;
    call->content_type = "application/json";
    json_open_object(&call->body, NULL);
    json_open_array(&call->body, "payments");
    for (const struct payment *payment = books->payments; payment != NULL;
         payment = payment->by_id.next) {
        if (payment->is_made)
            payment_record_write(&call->body, NULL, payment);
    }
    json_close_array(&call->body);
    json_close_object(&call->body);
}

static void
record_act(struct desk *desk, struct call *call)
{
    const struct payment *payment = payment_asked(desk, call);

    if (payment == NULL)
        return;
    call->status = 200;
    call->content_type = "application/json";
    payment_record_write(&call->body, NULL, payment);
}

static void
live_act(struct desk *desk, struct call *call)
{
    (void)desk;
    call->status = 200;
    call->content_type = "text/plain";
    json_put_raw(&call->body, NULL, "ok\n", 3);
}

/* ---- routes ---------------------------------------------------------------------------------- */

enum { DEADLINE_MS = 2 * FAULT_MS_MAX };

#define ACT(function)                                                                              \
    &(const struct act)                                                                            \
    {                                                                                              \
        .act = (function)                                                                          \
    }
#define API(function)                                                                              \
    &(const struct act)                                                                            \
    {                                                                                              \
        .act = (function), .is_api = true                                                          \
    }

/* clang-format off */
static const struct http_route key_routes[] = { /* for those who show the API key */
    { .method = "POST", .path = "/v1/payments",              .handler = take, .own = API(create_act), .body_bytes_max = BODY_BYTES_MAX, .deadline_ms = DEADLINE_MS }, /* makes a payment, once for each id */
    { .method = "GET",  .path = "/v1/payments/{id}",         .handler = take, .own = API(query_act),  .deadline_ms = DEADLINE_MS },                                   /* how it stands */
    { .method = "POST", .path = "/v1/payments/{id}/cancel",  .handler = take, .own = API(cancel_act), .body_bytes_max = BODY_BYTES_MAX, .deadline_ms = DEADLINE_MS }, /* it must not be paid any more */
    { .method = "POST", .path = "/v1/payments/{id}/refunds", .handler = take, .own = API(refund_act), .body_bytes_max = BODY_BYTES_MAX, .deadline_ms = DEADLINE_MS }, /* gives money back, once for each refund id */
    { .method = "POST", .path = "/faults",                   .handler = take, .own = ACT(faults_act), .body_bytes_max = BODY_BYTES_MAX },                             /* what shall go wrong */
    { .method = "GET",  .path = "/books",                    .handler = take, .own = ACT(books_act) },                                                                /* every payment with its history */
    { .method = "GET",  .path = "/books/{id}",               .handler = take, .own = ACT(record_act) },                                                               /* one of them */
    { 0 },
};
static const struct http_route open_routes[] = {
    { .method = "GET",  .path = "/checkout/{id}",            .handler = take, .own = ACT(page_act) },                                                                 /* what the payer sees */
    { .method = "POST", .path = "/checkout/{id}/{event}",    .handler = take, .own = ACT(payer_act),  .body_bytes_max = BODY_BYTES_MAX },                             /* pay, fail, pend, authorize, decline, pay-late */
    { .method = "GET",  .path = "/livez",                    .handler = take, .own = ACT(live_act) },                                                                 /* the desk works */
    { 0 },
};
/* clang-format on */

struct provider_tables
provider_tables(struct provider *provider)
{
    return (struct provider_tables){ {
        { .routes = key_routes, .owner = provider, .gate = { key_admit, provider } },
        { .routes = open_routes, .owner = provider },
        { 0 },
    } };
}
