/* order_rpc.c -- Orders as their callers see them.
 *
 * A row of order_methods is the life of one request, left to right:
 *   decode   wire message -> valid op              rpc thread    here
 *   touch    names the rows the op will need       store thread  order.c
 *   decide   op + rows -> changed rows, events     store thread  order.c
 *   answer   rows -> what the op reports           store thread  order.c
 *   encode   the op -> wire message                after COMMIT  here
 * Reads have no touch, decide and answer; order_reads (order_store.c) has theirs.
 */
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "mesh/base/utf8.h"
#include "order-svc/order.h"
#include "order-svc/order_key_rpc.h"
#include "order-svc/order_message.h"
#include "order-svc/order_operator_rpc.h"

#include "sagamesh/order/v1/order_service.pb-c.h"

#include <stdio.h>
#include <string.h>

/* What sets the fingerprints of methods with the same fields apart. */
enum { SALT_PLACE, SALT_CANCEL, SALT_WAITING, SALT_PAID, SALT_FAILED };

static char *
id_text(struct uuid id, struct arena *arena)
{
    return uuid_print(id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

/* ---- Place ---- */

static enum error
line_decode(const Sagamesh__Order__V1__OrderLine *wire, struct line *lines, size_t i,
            struct problem *problem)
{
    char field[64];

    snprintf(field, sizeof field, "lines[%zu].sku", i);
    if (check_word(problem, field, wire->sku, SKU_BYTES_MAX) != ERR_OK)
        return problem->error;
    snprintf(lines[i].sku, sizeof lines[i].sku, "%s", wire->sku);
    lines[i].quantity = wire->quantity;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(lines[j].sku, lines[i].sku) == 0)
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "'%s' stands in lines[%zu] already: add the quantities",
                               lines[i].sku, j);
    }
    snprintf(field, sizeof field, "lines[%zu].quantity", i);
    return check_range(problem, field, lines[i].quantity, 1, QUANTITY_MAX);
}

static enum error
lines_decode(const Sagamesh__Order__V1__PlaceRequest *request, struct arena *arena,
             struct place *place)
{
    struct problem *problem = &place->op.problem;
    struct line *lines;

    if (request->n_lines < 1 || request->n_lines > LINES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "lines", "must be 1 to %d, not %zu", LINES_MAX,
                           request->n_lines);
    lines = arena_take(arena, request->n_lines * sizeof *lines);
    for (size_t i = 0; i < request->n_lines; i++) {
        if (line_decode(request->lines[i], lines, i, problem) != ERR_OK)
            return problem->error;
    }
    place->lines = lines_print(arena, lines, request->n_lines);
    return ERR_OK;
}

/* A provider's, which may have characters that RFC 3986 does not allow, since browsers follow it: empty, or http
 * or https with something behind it. */
static enum error
url_check(struct problem *problem, const char *field, const char *url, size_t max)
{
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;

    if (url[0] == '\0')
        return ERR_OK;
    if (check_word(problem, field, url, max) != ERR_OK)
        return problem->error;
    if (scheme == 0 || url[scheme] == '\0' || url[scheme] == '/')
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be a URL that begins with http:// or https:// and a host");
    return ERR_OK;
}

static enum error
external_decode(struct place *place)
{
    struct problem *problem = &place->op.problem;

    if (place->provider[0] != '\0' &&
        check_word(problem, "provider", place->provider, PROVIDER_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (place->return_url[0] == '\0')
        return ERR_OK;
    return check_url(problem, "return_url", place->return_url, RETURN_URL_BYTES_MAX);
}

static enum error
payment_decode(struct place *place, const char *method)
{
    struct problem *problem = &place->op.problem;

    place->payment_method = method[0] == '\0' ? PAYMENT_WALLET : method;
    if (strcmp(place->payment_method, PAYMENT_EXTERNAL) == 0)
        return external_decode(place);
    if (strcmp(place->payment_method, PAYMENT_WALLET) != 0)
        return problem_set(problem, ERR_BAD_REQUEST, "payment_method",
                           "must be \"wallet\" or \"external\"");
    if (place->provider[0] != '\0' || place->return_url[0] != '\0')
        return problem_set(problem, ERR_BAD_REQUEST,
                           place->provider[0] != '\0' ? "provider" : "return_url",
                           "goes with payment_method \"external\" only");
    return ERR_OK;
}

/* A field that came later joins a hash only when it is there: requests that do without it keep the
 * fingerprint they were recorded with. */
static uint64_t
hash_text_if_any(uint64_t hash, const char *name, const char *text)
{
    return text[0] == '\0' ? hash : hash_text(hash_text(hash, name), text);
}

static uint64_t
place_fingerprint(const struct place *place)
{
    uint64_t hash = hash_text(HASH_SEED + SALT_PLACE, place->customer_id);

    hash = hash_text(hash_text(hash, place->currency), place->lines);
    hash = hash_text(hash_text(hash, place->payment_method), place->flow);
    hash = hash_text_if_any(hash, "provider", place->provider);
    hash = hash_text_if_any(hash, "return_url", place->return_url);
    if (place->key[0] != '\0')
        hash = hash_bytes(hash_text(hash, place->key), place->key_fingerprint.data,
                          place->key_fingerprint.count);
    return hash_end(hash);
}

static enum error
idempotency_decode(const Sagamesh__Order__V1__Idempotency *wire, struct arena *arena,
                   struct place *place)
{
    struct problem *problem = &place->op.problem;

    place->key = "";
    if (wire == NULL)
        return ERR_OK;
    place->key_fingerprint = (struct pg_bytes){ wire->fingerprint.data, wire->fingerprint.len };
    place->lock_us = wire->lock_ms * INT64_C(1000);
    if (check_text(problem, "idempotency.scope", wire->scope, 1, SCOPE_BYTES_MAX) != ERR_OK ||
        check_text(problem, "idempotency.key", wire->key, 1, KEY_BYTES_MAX) != ERR_OK)
        return problem->error;
    place->key = idempotency_key(arena, wire->scope, wire->key);
    if (wire->fingerprint.len > KEY_FINGERPRINT_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "idempotency.fingerprint",
                           "must have %d bytes at most, not %zu", KEY_FINGERPRINT_BYTES_MAX,
                           wire->fingerprint.len);
    return check_range(problem, "idempotency.lock_ms", wire->lock_ms, 0, LOCK_MS_MAX);
}

static enum error
place_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__PlaceRequest *request =
        (const Sagamesh__Order__V1__PlaceRequest *)message;
    struct place *place = op;
    struct problem *problem = &place->op.problem;

    place->customer_id = request->customer_id;
    place->currency = request->currency;
    place->provider = request->provider;
    place->return_url = request->return_url;
    place->flow = request->flow[0] == '\0' ? FLOW_DEFAULT : request->flow;
    if (check_id(problem, "order_id", request->order_id, &place->op.id) != ERR_OK ||
        check_customer(problem, "customer_id", place->customer_id) != ERR_OK ||
        check_currency(problem, "currency", place->currency) != ERR_OK ||
        lines_decode(request, arena, place) != ERR_OK ||
        payment_decode(place, request->payment_method) != ERR_OK ||
        check_word(problem, "flow", place->flow, FLOW_BYTES_MAX) != ERR_OK ||
        idempotency_decode(request->idempotency, arena, place) != ERR_OK)
        return problem->error;
    place->op.fingerprint = place_fingerprint(place);
    return ERR_OK;
}

static ProtobufCMessage *
place_encode(const void *op, struct arena *arena)
{
    const struct place *place = op;
    Sagamesh__Order__V1__PlaceResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__place_response__init(response);
    response->idempotency_state = (Sagamesh__Order__V1__IdempotencyState)place->claim;
    if (place->claim == CLAIM_MISMATCH)
        return &response->base;
    response->order_id = id_text(place->order.record.id, arena);
    response->status = (Sagamesh__Order__V1__OrderStatus)place->order.status;
    response->version = place->order.version;
    response->http_status = place->http_status;
    response->body.data = (uint8_t *)place->body.data;
    response->body.len = place->body.count;
    return &response->base;
}

/* ---- Cancel ---- */

static enum error
cancel_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__CancelRequest *request =
        (const Sagamesh__Order__V1__CancelRequest *)message;
    struct cancel *cancel = op;
    struct problem *problem = &cancel->op.problem;

    (void)arena;
    if (check_id(problem, "request_id", request->request_id, &cancel->op.id) != ERR_OK)
        return problem->error;
    cancel->op.fingerprint = hash_end(hash_text(HASH_SEED + SALT_CANCEL, request->order_id));
    return check_id(problem, "order_id", request->order_id, &cancel->order_id);
}

static ProtobufCMessage *
cancel_encode(const void *op, struct arena *arena)
{
    const struct order *order = &((const struct cancel *)op)->order;
    Sagamesh__Order__V1__CancelResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__cancel_response__init(response);
    response->cancel_requested = order->cancel_wanted;
    response->status = (Sagamesh__Order__V1__OrderStatus)order->status;
    return &response->base;
}

/* ---- MarkWaiting, MarkPaid, MarkFailed ---- */

static enum error
mark_decode_asked(struct mark *mark)
{
    struct problem *problem = &mark->op.problem;

    if (mark->payment_id[0] != '\0' &&
        check_word(problem, "payment_id", mark->payment_id, PAYMENT_ID_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (url_check(problem, "payment_url", mark->payment_url, PAYMENT_URL_BYTES_MAX) != ERR_OK)
        return problem->error;
    return check_range(problem, "payment_expires_at_us", mark->payment_expires_at_us, 0, INT64_MAX);
}

static uint64_t
mark_fingerprint(const struct mark *mark, int salt)
{
    uint64_t hash = hash_bytes(HASH_SEED + (uint64_t)salt, &mark->order_id, sizeof mark->order_id);

    hash = hash_text(hash_int(hash, mark->total_minor), mark->currency);
    hash = hash_text(hash, mark->payment_reference);
    hash = hash_text(hash_text(hash, mark->failure_reason), mark->failure_detail);
    hash = hash_text_if_any(hash, "payment_id", mark->payment_id);
    hash = hash_text_if_any(hash, "payment_url", mark->payment_url);
    if (mark->payment_expires_at_us != 0)
        hash = hash_int(hash, mark->payment_expires_at_us);
    return hash_end(hash);
}

static enum error
mark_decode_ids(struct mark *mark, const char *request_id, const char *order_id)
{
    struct problem *problem = &mark->op.problem;

    if (check_id(problem, "request_id", request_id, &mark->op.id) != ERR_OK ||
        check_id(problem, "order_id", order_id, &mark->order_id) != ERR_OK)
        return problem->error;
    return check_range(problem, "total_minor", mark->total_minor, 0, INT64_MAX);
}

static enum error
mark_decode_payment(struct mark *mark, int salt)
{
    struct problem *problem = &mark->op.problem;

    mark->failure_reason = mark->failure_detail = "";
    if (check_currency(problem, "currency", mark->currency) != ERR_OK ||
        check_text(problem, "payment_reference", mark->payment_reference, 0, REFERENCE_BYTES_MAX) !=
            ERR_OK)
        return problem->error;
    mark->op.fingerprint = mark_fingerprint(mark, salt);
    return ERR_OK;
}

static enum error
mark_waiting_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__MarkWaitingRequest *request =
        (const Sagamesh__Order__V1__MarkWaitingRequest *)message;
    struct mark *mark = op;

    (void)arena;
    mark->total_minor = request->total_minor;
    mark->currency = request->currency;
    mark->payment_reference = request->payment_reference;
    mark->payment_id = request->payment_id;
    mark->payment_url = request->payment_url;
    mark->payment_expires_at_us = request->payment_expires_at_us;
    if (mark_decode_ids(mark, request->request_id, request->order_id) != ERR_OK ||
        mark_decode_asked(mark) != ERR_OK)
        return mark->op.problem.error;
    return mark_decode_payment(mark, SALT_WAITING);
}

static enum error
mark_paid_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__MarkPaidRequest *request =
        (const Sagamesh__Order__V1__MarkPaidRequest *)message;
    struct mark *mark = op;

    (void)arena;
    mark->total_minor = request->total_minor;
    mark->currency = request->currency;
    mark->payment_reference = request->payment_reference;
    mark->payment_id = mark->payment_url = "";
    if (mark_decode_ids(mark, request->request_id, request->order_id) != ERR_OK)
        return mark->op.problem.error;
    return mark_decode_payment(mark, SALT_PAID);
}

/* A saga says why in the words of whoever refused it, so what is too long is cut, not refused. */
static enum error
mark_failed_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__MarkFailedRequest *request =
        (const Sagamesh__Order__V1__MarkFailedRequest *)message;
    struct mark *mark = op;
    const char *reason = request->reason[0] == '\0' ? "UNKNOWN" : request->reason;

    mark->total_minor = request->total_minor;
    mark->currency = request->currency;
    mark->payment_reference = mark->payment_id = mark->payment_url = "";
    mark->failure_reason = arena_copy(arena, reason, utf8_cut(reason, FAILURE_REASON_BYTES_MAX));
    mark->failure_detail =
        arena_copy(arena, request->detail, utf8_cut(request->detail, FAILURE_DETAIL_BYTES_MAX));
    if (mark_decode_ids(mark, request->request_id, request->order_id) != ERR_OK)
        return mark->op.problem.error;
    if (mark->currency[0] != '\0' &&
        check_currency(&mark->op.problem, "currency", mark->currency) != ERR_OK)
        return mark->op.problem.error;
    mark->op.fingerprint = mark_fingerprint(mark, SALT_FAILED);
    return ERR_OK;
}

static ProtobufCMessage *
mark_waiting_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__MarkWaitingResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__mark_waiting_response__init(response);
    response->status = (Sagamesh__Order__V1__OrderStatus)((const struct mark *)op)->order.status;
    return &response->base;
}

static ProtobufCMessage *
mark_paid_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__MarkPaidResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__mark_paid_response__init(response);
    response->status = (Sagamesh__Order__V1__OrderStatus)((const struct mark *)op)->order.status;
    return &response->base;
}

static ProtobufCMessage *
mark_failed_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__MarkFailedResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__mark_failed_response__init(response);
    response->status = (Sagamesh__Order__V1__OrderStatus)((const struct mark *)op)->order.status;
    return &response->base;
}

/* ---- reads ---- */

static enum error
get_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__GetRequest *request =
        (const Sagamesh__Order__V1__GetRequest *)message;
    struct get_order *get = op;
    struct problem *problem = &get->op.problem;

    (void)arena;
    get->wait_ms = request->wait_ms;
    get->known_version = request->known_version;
    if (check_id(problem, "order_id", request->order_id, &get->op.id) != ERR_OK ||
        check_range(problem, "wait_ms", get->wait_ms, 0, WAIT_MS_MAX) != ERR_OK)
        return problem->error;
    return check_range(problem, "known_version", get->known_version, 0, INT32_MAX);
}

static ProtobufCMessage *
get_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__GetResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__get_response__init(response);
    response->order = order_message(&((const struct get_order *)op)->order, arena);
    return &response->base;
}

static enum error
list_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__ListRequest *request =
        (const Sagamesh__Order__V1__ListRequest *)message;
    struct list_orders *list = op;
    struct problem *problem = &list->op.problem;

    (void)arena;
    list->customer_id = request->customer_id;
    if (list->customer_id[0] != '\0' &&
        check_customer(problem, "customer_id", list->customer_id) != ERR_OK)
        return problem->error;
    if (check_page_id(problem, request->page_token, &list->before_id) != ERR_OK)
        return problem->error;
    return check_page_size(problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
list_encode(const void *op, struct arena *arena)
{
    const struct list_orders *list = op;
    Sagamesh__Order__V1__ListResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__list_response__init(response);
    response->orders = order_messages(list->orders, list->count, arena, &response->n_orders);
    if (list->has_more || response->n_orders < list->count)
        response->next_page_token = response->orders[response->n_orders - 1]->order_id;
    return &response->base;
}

static enum error
list_events_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__ListEventsRequest *request =
        (const Sagamesh__Order__V1__ListEventsRequest *)message;
    struct list_events *list = op;
    struct problem *problem = &list->op.problem;

    (void)arena;
    list->after_version = request->after_version;
    if (check_id(problem, "order_id", request->order_id, &list->op.id) != ERR_OK)
        return problem->error;
    return check_range(problem, "after_version", list->after_version, 0, INT32_MAX);
}

static ProtobufCMessage *
list_events_encode(const void *op, struct arena *arena)
{
    const struct list_events *list = op;
    Sagamesh__Order__V1__ListEventsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__list_events_response__init(response);
    response->events = arena_take(arena, list->count * sizeof *response->events);
    response->n_events = list->count;
    for (size_t i = 0; i < list->count; i++) {
        Sagamesh__Order__V1__OrderEvent *event = arena_take(arena, sizeof *event);

        sagamesh__order__v1__order_event__init(event);
        event->version = list->events[i].version;
        event->type = (char *)list->events[i].type;
        event->time_us = list->events[i].time_us;
        event->payload = (char *)list->events[i].payload;
        response->events[i] = event;
    }
    return &response->base;
}

/* clang-format off */
const struct method order_methods[] = {
    /* name          op                           decode               touch               decide               answer               encode */
    { "Place",       sizeof(struct place),        place_decode,        place_touch,        place_decide,        place_answer,        place_encode        },
    { "StoreAnswer", sizeof(struct store_answer), store_answer_decode, store_answer_touch, store_answer_decide, store_answer_answer, store_answer_encode },
    { "ReleaseKey",  sizeof(struct release_key),  release_key_decode,  release_key_touch,  release_key_decide,  release_key_answer,  release_key_encode  },
    { "Get",         sizeof(struct get_order),    get_decode,          NULL,               NULL,                NULL,                get_encode          },
    { "List",        sizeof(struct list_orders),  list_decode,         NULL,               NULL,                NULL,                list_encode         },
    { "ListOpen",    sizeof(struct list_open),    list_open_decode,    NULL,               NULL,                NULL,                list_open_encode    },
    { "ListEvents",  sizeof(struct list_events),  list_events_decode,  NULL,               NULL,                NULL,                list_events_encode  },
    { "Cancel",      sizeof(struct cancel),       cancel_decode,       cancel_touch,       cancel_decide,       cancel_answer,       cancel_encode       },
    { "AskSaga",     sizeof(struct ask_saga),     ask_saga_decode,     ask_saga_touch,      ask_saga_decide,     ask_saga_answer,     ask_saga_encode     },
    { "MarkWaiting", sizeof(struct mark),         mark_waiting_decode, mark_touch,         mark_waiting_decide, mark_answer,         mark_waiting_encode },
    { "MarkPaid",    sizeof(struct mark),         mark_paid_decode,    mark_touch,         mark_paid_decide,    mark_answer,         mark_paid_encode    },
    { "MarkFailed",  sizeof(struct mark),         mark_failed_decode,  mark_touch,         mark_failed_decide,  mark_answer,         mark_failed_encode  },
    { 0 },
};
/* clang-format on */
