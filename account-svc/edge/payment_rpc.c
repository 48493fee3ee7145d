/* payment_rpc.c -- Payments as their callers see them; the columns are those of ledger_rpc.c.
 *
 * A webhook is verified where it is decoded: that is computing, not waiting, and what does not verify
 * never reaches the store.
 */
#include "account-svc/edge/payment_rpc.h"
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"

#include "sagamesh/payment/v1/payment_service.pb-c.h"

#include <stdio.h>
#include <string.h>

/* Methods' fingerprints start apart, also from the ledger's, which has the same table of ops. */
enum {
    SEED_CREATE_PAYMENT = 100,
    SEED_OBSERVE,
    SEED_ABANDON,
    SEED_REFUND_PAYMENT,
    SEED_SETTLE,
    SEED_TELL
};

enum { PAYMENT_PAGE_BYTES = 1 << 20 };

/* As its adapter says. Of one that is not configured any more nothing can be asked. */
static const struct pace *
pace_of(const struct payment_owner *owner, const char *name)
{
    const struct provider *provider =
        provider_find(((const struct payment_edge *)owner)->providers, name);

    return provider == NULL ? NULL : provider->adapter->pace;
}

static bool
is_served(const struct payment_owner *owner, const char *name)
{
    return provider_find(((const struct payment_edge *)owner)->providers, name) != NULL;
}

void
payment_edge_init(struct payment_edge *edge, const struct provider_set *providers)
{
    *edge = (struct payment_edge){ .owner = { pace_of, is_served }, .providers = providers };
}

static void
count_webhook(struct payment_edge *edge, const struct provider *provider,
              enum observe_outcome outcome)
{
    atomic_fetch_add(&edge->webhooks[provider - edge->providers->providers][outcome], 1);
}

/* clang-format off */
static const struct metric_row webhooks_row = { "sagamesh_payment_webhooks_total", METRIC_COUNTER, METRIC_NUMBER, "Webhooks by what was decided of them, of all bffs together; REFUSED: not signed as agreed, or not to be read.", { "provider", "outcome" } };
/* clang-format on */

static void
webhooks_read(void *owner, struct metrics *metrics)
{
    const struct payment_edge *edge = owner;

    for (size_t i = 0; i < edge->providers->count; i++) {
        for (enum observe_outcome outcome = 0; outcome < OBSERVE_COUNT; outcome++) {
            const char *const values[] = { edge->providers->providers[i].name,
                                           observe_outcome_word(outcome) };

            metric_set(metrics_series(metrics, &webhooks_row, values),
                       (int64_t)atomic_load(&edge->webhooks[i][outcome]));
        }
    }
}

void
payment_edge_meter(struct payment_edge *edge, struct metrics *metrics)
{
    metrics_declare(metrics, &webhooks_row);
    metrics_read(metrics, webhooks_read, edge);
}

void
payment_edge_meter_end(struct payment_edge *edge, struct metrics *metrics)
{
    metrics_read_end(metrics, edge);
}

static char *
id_message(struct uuid id, struct arena *arena)
{
    return uuid_print(id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

static void
refunds_message(const struct payment *payment, struct arena *arena,
                Sagamesh__Payment__V1__Payment *message)
{
    size_t count;
    const struct refunded *set = payment_refunds(payment, arena, &count);

    message->refunds = arena_take(arena, count * sizeof *message->refunds);
    message->n_refunds = count;
    for (size_t i = 0; i < count; i++) {
        Sagamesh__Payment__V1__Refunded *refund = arena_take(arena, sizeof *refund);

        sagamesh__payment__v1__refunded__init(refund);
        refund->refund_id = (char *)set[i].id;
        refund->amount_minor = set[i].amount_minor;
        message->refunds[i] = refund;
    }
}

static Sagamesh__Payment__V1__Payment *
payment_message(const struct payment *payment, struct arena *arena)
{
    Sagamesh__Payment__V1__Payment *message = arena_take(arena, sizeof *message);

    sagamesh__payment__v1__payment__init(message);
    message->payment_id = id_message(payment->record.id, arena);
    message->order_id = id_message(payment->order_id, arena);
    message->provider = (char *)payment->provider;
    message->amount_minor = payment->amount_minor;
    message->currency = (char *)payment->currency;
    message->observed = (Sagamesh__Payment__V1__Observed)payment->observed;
    message->claim = (Sagamesh__Payment__V1__Claim)payment->claim;
    message->version = payment->version;
    message->url = (char *)payment->url;
    message->expires_at_us = payment_expires_us(payment);
    message->provider_reference = (char *)payment->reference;
    message->refund_due = payment_refund_is_open(payment, arena);
    message->quarantined = payment->is_quarantined;
    message->created_at_us = payment->created_at_us;
    message->changed_at_us = payment->changed_at_us;
    message->reason = (char *)payment_failure_reason(payment);
    message->detail = (char *)payment_failure_detail(payment);
    message->needs_person = payment->needs_person;
    message->trouble = (char *)trouble_word((enum trouble)payment->trouble);
    message->booked_minor = payment->booked_minor;
    message->booked_currency = (char *)payment->booked_currency;
    message->settle_asked_at_us = payment->settle_asked_us;
    message->signaled_version = payment->signaled_version;
    message->settle_comment = (char *)payment->settle_comment;
    refunds_message(payment, arena, message);
    return message;
}

/* ---- Create ---- */

/* Who names none is served by the first that is configured. */
static const char *
provider_asked(const struct provider_set *configured, const char *name)
{
    return name[0] == '\0' && configured->count > 0 ? configured->providers[0].name : name;
}

/* Is the provider here, and does it take this currency? */
static enum error
provider_check(const struct provider_set *configured, struct problem *problem, const char *name,
               const char *currency)
{
    const struct provider *provider;
    const char *currencies;

    if (name[0] == '\0')
        return problem_refuse(problem, "UNKNOWN_PROVIDER", "provider",
                              "no provider is configured here");
    if (check_word(problem, "provider", name, PROVIDER_NAME_BYTES_MAX) != ERR_OK)
        return problem->error;
    provider = provider_find(configured, name);
    if (provider == NULL)
        return problem_refuse(problem, "UNKNOWN_PROVIDER", "provider",
                              "no provider '%s' is configured here", name);
    currencies = provider->adapter->currencies;
    if (currencies != NULL && strstr(currencies, currency) == NULL)
        return problem_refuse(problem, "UNSUPPORTED_CURRENCY", "currency",
                              "provider '%s' takes %s, not %s", name, currencies, currency);
    return ERR_OK;
}

static enum error
create_check(struct create_payment *create, const Sagamesh__Payment__V1__CreateRequest *request)
{
    const struct provider_set *configured =
        ((const struct payment_edge *)create->op.owner)->providers;
    struct problem *problem = &create->op.problem;

    if (check_id(problem, "request_id", request->request_id, &create->op.id) != ERR_OK ||
        check_id(problem, "order_id", request->order_id, &create->order_id) != ERR_OK ||
        check_range(problem, "amount_minor", request->amount_minor, 1, INT64_C(1000000000000000)) !=
            ERR_OK ||
        check_currency(problem, "currency", request->currency) != ERR_OK ||
        check_text(problem, "description", request->description, 0,
                   PAYMENT_DESCRIPTION_BYTES_MAX) != ERR_OK ||
        check_range(problem, "expires_seconds", request->expires_seconds, EXPIRES_SECONDS_MIN,
                    EXPIRES_SECONDS_MAX) != ERR_OK)
        return problem->error;
    if (request->return_url[0] != '\0' && check_url(problem, "return_url", request->return_url,
                                                    PAYMENT_RETURN_URL_BYTES_MAX) != ERR_OK)
        return problem->error;
    create->provider = provider_asked(configured, request->provider);
    return provider_check(configured, problem, create->provider, request->currency);
}

static enum error
create_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__CreateRequest *request =
        (const Sagamesh__Payment__V1__CreateRequest *)message;
    struct create_payment *create = op;
    uint64_t hash = HASH_SEED + SEED_CREATE_PAYMENT;

    (void)arena;
    if (create_check(create, request) != ERR_OK)
        return create->op.problem.error;
    create->amount_minor = request->amount_minor;
    create->currency = request->currency;
    create->description = request->description;
    create->return_url = request->return_url;
    create->expires_seconds = request->expires_seconds;
    hash = hash_bytes(hash, &create->order_id, sizeof create->order_id);
    /* As it was asked for: the first provider may be another one when it is asked for again. */
    hash = hash_text(hash_text(hash, request->provider), create->currency);
    hash = hash_text(hash_text(hash, create->description), create->return_url);
    hash = hash_int(hash_int(hash, create->amount_minor), create->expires_seconds);
    create->op.fingerprint = hash_end(hash);
    return ERR_OK;
}

static ProtobufCMessage *
create_encode(const void *op, struct arena *arena)
{
    Sagamesh__Payment__V1__CreateResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__create_response__init(response);
    response->payment_id = id_message(((const struct create_payment *)op)->op.id, arena);
    return &response->base;
}

/* ---- Observe ---- */

static enum error
hint_decode(struct observe_payment *observe, const Sagamesh__Payment__V1__PaymentHint *hint)
{
    struct problem *problem = &observe->op.problem;

    if (check_id(problem, "hint.payment_id", hint->payment_id, &observe->payment_id) != ERR_OK)
        return problem->error;
    if (hint->hint != SAGAMESH__PAYMENT__V1__HINT__HINT_RETURNED &&
        hint->hint != SAGAMESH__PAYMENT__V1__HINT__HINT_WATCHED)
        return problem_set(problem, ERR_BAD_REQUEST, "hint.hint", "must be RETURNED or WATCHED");
    observe->hint = (enum hint)hint->hint;
    return ERR_OK;
}

static enum error
webhook_read(const Sagamesh__Payment__V1__Webhook *webhook, struct arena *arena,
             struct problem *problem, struct provider_webhook *ret_webhook)
{
    struct provider_header *headers = arena_take(arena, webhook->n_headers * sizeof *headers);

    if (webhook->body.len > WEBHOOK_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "webhook.body",
                           "must have at most %d bytes, not %zu", WEBHOOK_BYTES_MAX,
                           webhook->body.len);
    if (webhook->n_headers > WEBHOOK_HEADERS_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "webhook.headers",
                           "must be at most %d, not %zu", WEBHOOK_HEADERS_MAX, webhook->n_headers);
    for (size_t i = 0; i < webhook->n_headers; i++) {
        headers[i].name = webhook->headers[i]->name;
        headers[i].value = webhook->headers[i]->value;
    }
    *ret_webhook = (struct provider_webhook){ .headers = headers,
                                              .header_count = webhook->n_headers,
                                              .body = webhook->body.data,
                                              .body_bytes = webhook->body.len,
                                              .remote_address = webhook->remote_address };
    return ERR_OK;
}

/* As much of it as looks like addresses: anybody can write there. */
static const char *
forwarded_text(const struct provider_webhook *webhook, struct arena *arena)
{
    const char *text = provider_header_find(webhook, "x-forwarded-for");
    size_t bytes = text == NULL ? 0 : strspn(text, "0123456789abcdefABCDEF.:, ");

    return arena_copy(arena, text == NULL ? "" : text, bytes < 100 ? bytes : 100);
}

/* By a copy of the provider, since its secrets may be replaced meanwhile. What outlives this call, the name, is that
 * of the set, which stays. */
static enum error
webhook_decode(struct observe_payment *observe, const Sagamesh__Payment__V1__Webhook *message,
               struct arena *arena)
{
    struct payment_edge *edge = observe->op.owner;
    const struct provider *configured = provider_find(edge->providers, message->provider);
    struct provider *provider;
    struct problem *problem = &observe->op.problem;
    struct provider_webhook webhook;
    struct provider_heard heard;

    if (configured == NULL) {
        problem_set(problem, ERR_NOT_FOUND, "webhook.provider",
                    "no provider of this name is configured here");
        snprintf(problem->reason, sizeof problem->reason, "UNKNOWN_PROVIDER");
        return problem->error;
    }
    if (webhook_read(message, arena, problem, &webhook) != ERR_OK)
        return problem->error;
    /* A copy: the configuration may be read again while this webhook is looked at. */
    provider = arena_take(arena, sizeof *provider);
    provider_copy(configured, provider);
    if (provider_source_check(provider, &webhook, problem) != ERR_OK ||
        provider->adapter->hear(provider, &webhook, clock_now_us(), arena, problem, &heard) !=
            ERR_OK) {
        count_webhook(edge, configured, OBSERVE_NONE);
        log_warn("provider=%s from=%.64s forwarded=\"%s\" webhook=refused because=\"%s\"",
                 provider->name, message->remote_address, forwarded_text(&webhook, arena),
                 problem->text);
        return problem->error;
    }
    if (heard.is_verified)
        observe->inbox_key = arena_print(arena, "%s %s", provider->name, heard.event_id);
    observe->payment_id = heard.payment_id;
    observe->provider = configured->name;
    observe->is_verified = heard.is_verified;
    observe->is_of_payment = heard.is_of_payment;
    observe->observation = heard.observation;
    return ERR_OK;
}

static enum error
observe_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__ObserveRequest *request =
        (const Sagamesh__Payment__V1__ObserveRequest *)message;
    struct observe_payment *observe = op;
    struct problem *problem = &observe->op.problem;

    if (check_id(problem, "request_id", request->request_id, &observe->op.id) != ERR_OK)
        return problem->error;
    if (request->what_case == SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_WEBHOOK)
        webhook_decode(observe, request->webhook, arena);
    else if (request->what_case == SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_HINT)
        hint_decode(observe, request->hint);
    else
        problem_set(problem, ERR_BAD_REQUEST, "what", "must be a webhook or a hint");
    observe->op.fingerprint = hash_end(HASH_SEED + SEED_OBSERVE);
    return problem->error;
}

static ProtobufCMessage *
observe_encode(const void *op, struct arena *arena)
{
    const struct observe_payment *observe = op;
    struct payment_edge *edge = observe->op.owner;
    Sagamesh__Payment__V1__ObserveResponse *response = arena_take(arena, sizeof *response);

    if (observe->provider != NULL)
        count_webhook(edge, provider_find(edge->providers, observe->provider), observe->outcome);
    sagamesh__payment__v1__observe_response__init(response);
    response->outcome = (Sagamesh__Payment__V1__ObserveOutcome)observe->outcome;
    return &response->base;
}

/* ---- Abandon and Refund ---- */

static enum error
undo_decode(struct undo_payment *undo, const char *request_id, const char *payment_id, int seed)
{
    struct problem *problem = &undo->op.problem;

    if (check_id(problem, "request_id", request_id, &undo->op.id) != ERR_OK ||
        check_id(problem, "payment_id", payment_id, &undo->payment_id) != ERR_OK)
        return problem->error;
    undo->op.fingerprint = hash_end(
        hash_bytes(HASH_SEED + (uint64_t)seed, &undo->payment_id, sizeof undo->payment_id));
    return ERR_OK;
}

static enum error
abandon_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__AbandonRequest *request =
        (const Sagamesh__Payment__V1__AbandonRequest *)message;

    (void)arena;
    return undo_decode(op, request->request_id, request->payment_id, SEED_ABANDON);
}

static ProtobufCMessage *
abandon_encode(const void *op, struct arena *arena)
{
    Sagamesh__Payment__V1__AbandonResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__abandon_response__init(response);
    response->claim = (Sagamesh__Payment__V1__Claim)((const struct undo_payment *)op)->claim;
    return &response->base;
}

static enum error
refund_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__RefundRequest *request =
        (const Sagamesh__Payment__V1__RefundRequest *)message;

    (void)arena;
    return undo_decode(op, request->request_id, request->payment_id, SEED_REFUND_PAYMENT);
}

static ProtobufCMessage *
refund_encode(const void *op, struct arena *arena)
{
    Sagamesh__Payment__V1__RefundResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__refund_response__init(response);
    response->claim = (Sagamesh__Payment__V1__Claim)((const struct undo_payment *)op)->claim;
    return &response->base;
}

static enum error
settle_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__SettleRequest *request =
        (const Sagamesh__Payment__V1__SettleRequest *)message;
    struct undo_payment *settle = op;

    (void)arena;
    if (undo_decode(settle, request->request_id, request->payment_id, SEED_SETTLE) != ERR_OK ||
        check_text(&settle->op.problem, "comment", request->comment, 0,
                   PAYMENT_COMMENT_BYTES_MAX) != ERR_OK)
        return settle->op.problem.error;
    settle->comment = request->comment;
    settle->op.fingerprint = hash_end(hash_text(settle->op.fingerprint, settle->comment));
    return ERR_OK;
}

static ProtobufCMessage *
settle_encode(const void *op, struct arena *arena)
{
    Sagamesh__Payment__V1__SettleResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__settle_response__init(response);
    response->claim = (Sagamesh__Payment__V1__Claim)((const struct undo_payment *)op)->claim;
    return &response->base;
}

/* ---- Tell ---- */

static enum error
tell_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__TellRequest *request =
        (const Sagamesh__Payment__V1__TellRequest *)message;
    struct tell_payment *tell = op;
    struct problem *problem = &tell->op.problem;

    (void)arena;
    tell->comment = request->comment;
    if (check_id(problem, "request_id", request->request_id, &tell->op.id) != ERR_OK ||
        check_id(problem, "payment_id", request->payment_id, &tell->payment_id) != ERR_OK ||
        check_text(problem, "comment", tell->comment, 0, PAYMENT_COMMENT_BYTES_MAX) != ERR_OK)
        return problem->error;
    tell->op.fingerprint =
        hash_end(hash_text(hash_text(HASH_SEED + SEED_TELL, request->payment_id), tell->comment));
    return ERR_OK;
}

static ProtobufCMessage *
tell_encode(const void *op, struct arena *arena)
{
    const struct tell_payment *tell = op;
    Sagamesh__Payment__V1__TellResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__tell_response__init(response);
    response->version = tell->version;
    response->order_id = id_message(tell->order_id, arena);
    return &response->base;
}

/* ---- reads ---- */

static enum error
get_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_payment *get = op;

    (void)arena;
    return check_id(&get->op.problem, "payment_id",
                    ((const Sagamesh__Payment__V1__GetRequest *)message)->payment_id, &get->op.id);
}

static ProtobufCMessage *
get_encode(const void *op, struct arena *arena)
{
    Sagamesh__Payment__V1__GetResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__get_response__init(response);
    response->payment = payment_message(&((const struct get_payment *)op)->payment, arena);
    return &response->base;
}

static enum error
list_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct list_payments *list = op;

    (void)arena;
    return check_id(&list->op.problem, "order_id",
                    ((const Sagamesh__Payment__V1__ListRequest *)message)->order_id, &list->op.id);
}

static ProtobufCMessage *
list_encode(const void *op, struct arena *arena)
{
    const struct list_payments *list = op;
    Sagamesh__Payment__V1__ListResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__list_response__init(response);
    response->payments = arena_take(arena, list->count * sizeof *response->payments);
    response->n_payments = list->count;
    for (size_t i = 0; i < list->count; i++)
        response->payments[i] = payment_message(&list->payments[i], arena);
    return &response->base;
}

static enum error
list_all_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__ListAllRequest *request =
        (const Sagamesh__Payment__V1__ListAllRequest *)message;
    struct list_all *list = op;

    (void)arena;
    return check_page_before(&list->op.problem, request->page_token, request->page_size,
                             &list->before_id, &list->page_size);
}

/* Tombstones are left out. A page ends before it is larger than a message should be. */
static ProtobufCMessage *
list_all_encode(const void *op, struct arena *arena)
{
    const struct list_all *list = op;
    Sagamesh__Payment__V1__ListAllResponse *response = arena_take(arena, sizeof *response);
    size_t bytes = 0, looked = 0;

    sagamesh__payment__v1__list_all_response__init(response);
    response->payments = arena_take(arena, list->count * sizeof *response->payments);
    for (; looked < list->count && bytes < PAYMENT_PAGE_BYTES; looked++) {
        Sagamesh__Payment__V1__Payment *message;

        if (payment_is_tombstone(&list->payments[looked]))
            continue;
        message = payment_message(&list->payments[looked], arena);
        bytes += protobuf_c_message_get_packed_size(&message->base);
        response->payments[response->n_payments++] = message;
    }
    if (list->has_more || looked < list->count)
        response->next_page_token = id_message(list->payments[looked - 1].record.id, arena);
    return &response->base;
}

static enum error
troubled_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Payment__V1__ListTroubledRequest *request =
        (const Sagamesh__Payment__V1__ListTroubledRequest *)message;
    struct list_troubled *list = op;
    struct problem *problem = &list->op.problem;

    (void)arena;
    if (check_page_id(problem, request->page_token, &list->op.id) != ERR_OK)
        return problem->error;
    return check_page_size(problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
troubled_encode(const void *op, struct arena *arena)
{
    const struct list_troubled *list = op;
    Sagamesh__Payment__V1__ListTroubledResponse *response = arena_take(arena, sizeof *response);

    sagamesh__payment__v1__list_troubled_response__init(response);
    response->payments = arena_take(arena, list->count * sizeof *response->payments);
    response->n_payments = list->count;
    for (size_t i = 0; i < list->count; i++)
        response->payments[i] = payment_message(&list->payments[i], arena);
    if (list->has_more)
        response->next_page_token = id_message(list->payments[list->count - 1].record.id, arena);
    return &response->base;
}

/* clang-format off */
const struct method payment_methods[] = {
    /* name      op                              decode          touch                  decide                  answer                  encode */
    { "Create",  sizeof(struct create_payment),  create_decode,  create_payment_touch,  create_payment_decide,  NULL,                   create_encode  },
    { "Get",     sizeof(struct get_payment),     get_decode,     NULL,                  NULL,                   NULL,                   get_encode     },
    { "List",    sizeof(struct list_payments),   list_decode,    NULL,                  NULL,                   NULL,                   list_encode    },
    { "Observe", sizeof(struct observe_payment), observe_decode, observe_payment_touch, observe_payment_decide, observe_payment_answer, observe_encode },
    { "Abandon", sizeof(struct undo_payment),    abandon_decode, undo_payment_touch,    abandon_payment_decide, undo_payment_answer,    abandon_encode },
    { "Refund",  sizeof(struct undo_payment),    refund_decode,  undo_payment_touch,    refund_payment_decide,  undo_payment_answer,    refund_encode  },
    { "ListAll", sizeof(struct list_all),        list_all_decode, NULL,                 NULL,                   NULL,                   list_all_encode },
    { "ListTroubled", sizeof(struct list_troubled), troubled_decode, NULL,                NULL,                   NULL,                   troubled_encode },
    { "Settle",  sizeof(struct undo_payment),    settle_decode,  undo_payment_touch,    settle_payment_decide,  undo_payment_answer,    settle_encode  },
    { "Tell",    sizeof(struct tell_payment),    tell_decode,    tell_payment_touch,    tell_payment_decide,    tell_payment_answer,    tell_encode    },
    { 0 },
};
/* clang-format on */
