/* What becomes of a request when there is an answer. Its last word goes to its caller. What another replica can do is placed
 * again at once; what must wait is due later, and is sent then if the budget of retries has a token. */
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/rpc/client_inner.h"
#include "mesh/rpc/spans.h"

#include <stdio.h>

/* The last word: the request is the caller's again. */
static void
finish(struct rpc_client *client, struct rpc_request *request, struct rpc_result *result)
{
    struct log_trace before;

    result->was_unknown = request->was_unknown;
    if (request->was_unknown)
        result->nothing_done = false;
    if (result->meaning == RPC_NOT_DONE && !result->nothing_done)
        result->meaning = RPC_UNKNOWN;
    client_meter_answered(&client->meter, request->method, result->code,
                          clock_steady_us() - request->sent_us, request->traceparent);
    rpc_span_sent(&request->span, request->traceparent, request->method, result->code,
                  client->target, request->envelope, request->attempt);
    before = log_trace_begin(request->traceparent);
    request->done(request, result); /* which is gone then */
    log_trace_end(&before);
}

/* Asked again without the caller: not what is an answer, nor what a second try is not likely to change. */
static bool
is_retried(const struct rpc_result *result)
{
    if (result->meaning == RPC_NOT_DONE)
        return true;
    return result->meaning == RPC_UNKNOWN && result->code != WIRE_INTERNAL &&
           result->code != WIRE_DATA_LOSS;
}

/* It says more of the replica than of the call. CANCELLED: it stopped, and its time for what was under way was over. */
static bool
is_replicas_own(const struct rpc_result *result)
{
    return result->code == WIRE_UNAVAILABLE || result->code == WIRE_DEADLINE_EXCEEDED ||
           result->code == WIRE_CANCELLED;
}

/* It looks like a refusal, and is none of the service that was asked: a proxy's, another program's. */
static bool
is_strange(const struct rpc_result *result)
{
    switch (result->code) {
    case WIRE_INVALID_ARGUMENT:
    case WIRE_NOT_FOUND:
    case WIRE_ALREADY_EXISTS:
    case WIRE_PERMISSION_DENIED:
    case WIRE_FAILED_PRECONDITION:
    case WIRE_OUT_OF_RANGE:
    case WIRE_UNIMPLEMENTED:
    case WIRE_UNAUTHENTICATED:
        return result->meaning != RPC_REFUSED;
    default:
        return false;
    }
}

static void
log_strange(const struct rpc_client *client, const struct rpc_request *request,
            const struct rpc_result *result)
{
    struct log_trace before = log_trace_begin(request->traceparent);

    log_warn("service=%s method=%s event=STRANGE_ANSWER code=%d reason=%s because=\"%s\" "
             "next=\"ask again; does the right service listen there?\"",
             client->target, request->method, (int)result->code, result->reason, result->message);
    log_trace_end(&before);
}

/* Nothing was done there, and there is another replica: then it is no second attempt, but still the first one. */
static bool
is_moved(struct rpc_client *client, const struct rpc_request *request,
         const struct rpc_result *result, int64_t now_us)
{
    return result->meaning == RPC_NOT_DONE && result->code == WIRE_UNAVAILABLE &&
           request->until_us > now_us && !client->is_ending &&
           endpoints_have_other(&client->endpoints, request) &&
           retry_budget_take(&client->budget, now_us);
}

static void
retry_later(struct rpc_client *client, struct rpc_request *request, int64_t least_us,
            int64_t now_us)
{
    int64_t wait_us = retry_wait_us(request->attempt);

    heap_set(&client->later, &request->later, now_us + (wait_us < least_us ? least_us : wait_us));
    atomic_fetch_add(&client->held_count, 1);
}

void
client_answered(void *owner, struct rpc_request *request, struct rpc_result *result)
{
    struct rpc_client *client = owner;
    const struct rpc_answer answer = { .code = result->code,
                                       .reason = result->reason,
                                       .domain = result->domain,
                                       .service = result->service,
                                       .nothing_done = result->nothing_done };
    int64_t now_us;

    result->meaning = rpc_meaning_of(&answer, request->method, client->is_mesh);
    result->nothing_done = result->meaning == RPC_NOT_DONE;
    if (is_strange(result) && !client->is_quiet)
        log_strange(client, request, result);
    if (!is_retried(result)) {
        finish(client, request, result);
        return;
    }
    now_us = clock_steady_us();
    if (is_replicas_own(result) && client->answering != NULL && !client->answering->is_gone)
        request->tried |= UINT64_C(1) << client->answering->index;
    if (is_moved(client, request, result, now_us)) {
        request->attempt--;
        atomic_fetch_add(&client->held_count, 1);
        atomic_fetch_add(&client->meter.moves, 1);
        endpoints_place(&client->endpoints, request);
        return;
    }
    if (request->attempt >= request->attempts_max || client->is_ending) {
        finish(client, request, result);
        return;
    }
    if (result->meaning == RPC_UNKNOWN)
        request->was_unknown = true;
    retry_later(client, request, result->retry_us, now_us);
}

void
client_answer_unsent(struct rpc_client *client, struct rpc_request *request, enum wire_code code,
                     const char *reason, const char *message)
{
    struct rpc_result result = { .code = code };

    snprintf(result.message, sizeof result.message, "%s", message);
    snprintf(result.reason, sizeof result.reason, "%s", reason);
    snprintf(result.domain, sizeof result.domain, "sagamesh");
    result.meaning = code == WIRE_INVALID_ARGUMENT ? RPC_REFUSED : RPC_NOT_DONE;
    result.nothing_done = result.meaning == RPC_NOT_DONE; /* a refusal says it by itself */
    finish(client, request, &result);
}

void
client_answer_nowhere(struct rpc_client *client, struct rpc_request *request)
{
    struct rpc_result result = {
        .code = WIRE_UNAVAILABLE,
        .message = "no address of this service is known; nothing was done",
        .reason = "UNREACHABLE",
        .domain = "sagamesh",
        .nothing_done = true,
    };

    client->answering = NULL;
    client_answered(client, request, &result);
}

/* ---- retries ---- */

/* Its time passes as if it had been made and had failed: a service that is away has the load of the retries that are paid for,
 * and a caller no longer to wait than it asked for. */
static void
retry_forgo(struct rpc_client *client, struct rpc_request *request, int64_t now_us)
{
    atomic_fetch_sub(&client->held_count, 1);
    atomic_fetch_add(&client->meter.forgone, 1);
    request->attempt++;
    if (request->attempt < request->attempts_max)
        retry_later(client, request, 0, now_us);
    else
        client_answer_unsent(
            client, request, WIRE_UNAVAILABLE, "UNREACHABLE",
            "too many calls to this service are asked again; it was not sent this time");
}

void
client_retries_wake(struct rpc_client *client, int64_t now_us)
{
    struct heap_item *due;

    while ((due = heap_pop_due(&client->later, now_us)) != NULL) {
        struct rpc_request *request = HEAP_OWNER(due, struct rpc_request, later);

        if (!retry_budget_take(&client->budget, now_us)) {
            retry_forgo(client, request, now_us);
            continue;
        }
        atomic_fetch_add(&client->meter.retries, 1);
        request->until_us = now_us + request->timeout_us;
        endpoints_place(&client->endpoints, request);
    }
}
