/* saga_rpc.c -- The orchestrator as its callers see it: wire messages to ops and back. What an op does
 * is decided by the shard of its saga (shard_requests.c). */
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "mesh/base/json.h"
#include "mesh/pb/message.h"
#include "saga/saga.h"

#include "sagamesh/saga/v1/saga_service.pb-c.h"

#include <assert.h>
#include <string.h>

enum saga_method
saga_method_of(const struct call *call)
{
    return (enum saga_method)(call->method - saga_methods);
}

struct uuid
saga_id_of(const struct call *call)
{
    static const struct uuid nil;

    switch (saga_method_of(call)) {
    case SAGA_START:
    case SAGA_GET:
    case SAGA_WATCH:
        return call->op->id;
    case SAGA_SIGNAL:
        return ((const struct saga_signal *)call->op)->saga_id;
    case SAGA_CANCEL:
    case SAGA_RETRY:
    case SAGA_COMPENSATE:
    case SAGA_SETTLE: /* begins with one */
        return ((const struct saga_change *)call->op)->saga_id;
    default:
        return nil;
    }
}

/* Words of phase_text(), by the enum of the .proto. */
static const char *const phase_words[] = { "",      "RUNNING", "RETRYING", "COMPENSATING",
                                           "STUCK", "ENDED",   "WAITING" };

enum { PHASE_WORDS = sizeof phase_words / sizeof *phase_words };

static Sagamesh__Saga__V1__SagaPhase
phase_number(const char *word)
{
    for (int i = 1; i < PHASE_WORDS; i++) {
        if (word != NULL && strcmp(phase_words[i], word) == 0)
            return (Sagamesh__Saga__V1__SagaPhase)i;
    }
    return SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_UNSPECIFIED;
}

int
saga_phase_number(const char *word)
{
    return (int)phase_number(word);
}

/* ---- Start ---- */

static enum error
start_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__StartRequest *request =
        (const Sagamesh__Saga__V1__StartRequest *)message;
    struct saga_start *start = op;
    struct problem *problem = &start->op.problem;

    (void)arena;
    start->definition = request->definition;
    start->input_json = request->input_json;
    if (check_id(problem, "saga_id", request->saga_id, &start->op.id) != ERR_OK ||
        check_word(problem, "definition", start->definition, SAGA_NAME_BYTES_MAX) != ERR_OK)
        return problem->error;
    if (strlen(start->input_json) > SAGA_INPUT_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "input_json", "must have at most %d bytes",
                           SAGA_INPUT_BYTES_MAX);
    return ERR_OK;
}

static ProtobufCMessage *
start_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__StartResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__start_response__init(response);
    response->saga_id =
        uuid_print(((const struct saga_start *)op)->op.id, arena_take(arena, UUID_TEXT_BYTES + 1));
    return &response->base;
}

/* ---- Cancel, Retry, Compensate, Settle ---- */

static enum error
change_fill(struct saga_change *change, const char *method, const char *request_id,
            const char *saga_id, const char *comment)
{
    struct problem *problem = &change->op.problem;

    change->comment = comment;
    change->op.fingerprint =
        hash_end(hash_text(hash_text(hash_text(HASH_SEED, method), saga_id), comment));
    if (check_id(problem, "request_id", request_id, &change->op.id) != ERR_OK ||
        check_id(problem, "saga_id", saga_id, &change->saga_id) != ERR_OK)
        return problem->error;
    return check_text(problem, "comment", comment, 0, SAGA_COMMENT_BYTES_MAX);
}

static enum error
cancel_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__CancelRequest *request =
        (const Sagamesh__Saga__V1__CancelRequest *)message;

    (void)arena;
    return change_fill(op, "Cancel", request->request_id, request->saga_id, "");
}

static enum error
retry_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__RetryRequest *request =
        (const Sagamesh__Saga__V1__RetryRequest *)message;

    (void)arena;
    return change_fill(op, "Retry", request->request_id, request->saga_id, request->comment);
}

static enum error
compensate_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__CompensateRequest *request =
        (const Sagamesh__Saga__V1__CompensateRequest *)message;

    (void)arena;
    return change_fill(op, "Compensate", request->request_id, request->saga_id, request->comment);
}

static ProtobufCMessage *
cancel_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__CancelResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__cancel_response__init(response);
    response->phase = phase_number(((const struct saga_change *)op)->phase);
    return &response->base;
}

static ProtobufCMessage *
retry_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__RetryResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__retry_response__init(response);
    response->phase = phase_number(((const struct saga_change *)op)->phase);
    return &response->base;
}

static ProtobufCMessage *
compensate_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__CompensateResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__compensate_response__init(response);
    response->phase = phase_number(((const struct saga_change *)op)->phase);
    return &response->base;
}

static enum error
settle_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__SettleRequest *request =
        (const Sagamesh__Saga__V1__SettleRequest *)message;
    struct saga_settle *settle = op;
    struct saga_change *change = &settle->change;
    struct problem *problem = &change->op.problem;

    (void)arena;
    settle->settlement = (int)request->settlement;
    settle->output_json = request->output_json;
    if (change_fill(change, "Settle", request->request_id, request->saga_id, request->comment) !=
            ERR_OK ||
        check_text(problem, "comment", change->comment, 1, SAGA_COMMENT_BYTES_MAX) != ERR_OK ||
        check_range(problem, "settlement", settle->settlement, 1, 3) != ERR_OK)
        return problem->error;
    change->op.fingerprint = hash_end(
        hash_text(hash_int(change->op.fingerprint, settle->settlement), settle->output_json));
    return strlen(settle->output_json) > SAGA_INPUT_BYTES_MAX
               ? problem_set(problem, ERR_BAD_REQUEST, "output_json", "must have at most %d bytes",
                             SAGA_INPUT_BYTES_MAX)
               : ERR_OK;
}

static ProtobufCMessage *
settle_encode(const void *op, struct arena *arena)
{
    Sagamesh__Saga__V1__SettleResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__settle_response__init(response);
    response->phase = phase_number(((const struct saga_settle *)op)->change.phase);
    return &response->base;
}

/* ---- Get ---- */

static enum error
get_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct saga_get *get = op;

    (void)arena;
    return check_id(&get->op.problem, "saga_id",
                    ((const Sagamesh__Saga__V1__GetRequest *)message)->saga_id, &get->op.id);
}

static char *
text_of(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value)
               ? arena_copy(arena, json_string_value(value), json_string_length(value))
               : "";
}

static int64_t
int_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static Sagamesh__Saga__V1__Saga *
saga_message(const json_t *history, struct arena *arena)
{
    Sagamesh__Saga__V1__Saga *saga = arena_take(arena, sizeof *saga);
    const json_t *context = json_object_get(history, "context");
    struct json_writer writer = { 0 };

    sagamesh__saga__v1__saga__init(saga);
    saga->saga_id = text_of(history, "sagaId", arena);
    saga->definition = text_of(history, "definition", arena);
    saga->definition_hash = text_of(history, "definitionHash", arena);
    saga->phase = phase_number(text_of(history, "phase", arena));
    saga->status = text_of(history, "status", arena);
    saga->compensation_status = text_of(history, "compensationStatus", arena);
    saga->state = text_of(history, "state", arena);
    saga->error_code = text_of(history, "errorCode", arena);
    saga->error_message = text_of(history, "errorMessage", arena);
    saga->started_at_us = int_of(history, "startedAtUs");
    saga->changed_at_us = int_of(history, "changedAtUs");
    saga->next_attempt_us = int_of(history, "nextAttemptUs");
    saga->version = int_of(history, "version");
    saga->cancel_requested = json_is_true(json_object_get(history, "cancelRequested"));
    if (context != NULL)
        json_put_tree(&writer, NULL, context);
    saga->context_json = context == NULL ? "{}" : arena_copy(arena, writer.text, writer.bytes);
    json_writer_free(&writer);
    return saga;
}

static Sagamesh__Saga__V1__Step *
step_message(const json_t *line, struct arena *arena)
{
    Sagamesh__Saga__V1__Step *step = arena_take(arena, sizeof *step);

    sagamesh__saga__v1__step__init(step);
    step->state = text_of(line, "state", arena);
    step->activation_id = text_of(line, "activationId", arena);
    step->call = text_of(line, "call", arena);
    step->status = text_of(line, "status", arena);
    step->attempts = (int32_t)int_of(line, "attempts");
    step->started_at_us = int_of(line, "startedAtUs");
    step->ended_at_us = int_of(line, "endedAtUs");
    step->is_compensation = json_is_true(json_object_get(line, "isCompensation"));
    step->error_class = text_of(line, "errorClass", arena);
    step->error_message = text_of(line, "errorMessage", arena);
    return step;
}

/* Written by instance_history(). A row may have been damaged since: then all that is left of it is the saga's
 * id, which the shard has looked for. */
static json_t *
history_read(const char *text)
{
    json_t *history = json_loads(text, 0, NULL);
    const char *id = "";
    size_t bytes = 0;

    if (json_is_object(history))
        return history;
    json_decref(history);
    if (!json_peek_text(text, "sagaId", &id, &bytes))
        bytes = 0;
    return json_pack("{s:s%, s:s, s:s}", "sagaId", id, bytes, "errorCode", "UNREADABLE",
                     "errorMessage", "its history is not what was written");
}

static Sagamesh__Saga__V1__Step **
step_messages(const json_t *history, struct arena *arena, size_t *ret_count)
{
    const json_t *lines = json_object_get(history, "steps");
    Sagamesh__Saga__V1__Step **steps = arena_take(arena, json_array_size(lines) * sizeof *steps);

    *ret_count = json_array_size(lines);
    for (size_t i = 0; i < *ret_count; i++)
        steps[i] = step_message(json_array_get(lines, i), arena);
    return steps;
}

static ProtobufCMessage *
get_encode(const void *op, struct arena *arena)
{
    json_t *history = history_read(((const struct saga_get *)op)->history);
    Sagamesh__Saga__V1__GetResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__get_response__init(response);
    response->saga = saga_message(history, arena);
    response->steps = step_messages(history, arena, &response->n_steps);
    json_decref(history);
    return &response->base;
}

/* ---- Watch ---- */

static enum error
watch_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__WatchRequest *request =
        (const Sagamesh__Saga__V1__WatchRequest *)message;
    struct saga_watch *watch = op;
    struct problem *problem = &watch->op.problem;

    (void)arena;
    watch->known_version = request->known_version;
    watch->wait_ms = request->wait_ms;
    if (check_id(problem, "saga_id", request->saga_id, &watch->op.id) != ERR_OK ||
        check_range(problem, "known_version", watch->known_version, 0, INT64_MAX) != ERR_OK)
        return problem->error;
    return check_range(problem, "wait_ms", watch->wait_ms, 0, SAGA_WATCH_MS_MAX);
}

static ProtobufCMessage *
watch_encode(const void *op, struct arena *arena)
{
    const struct saga_watch *watch = op;
    Sagamesh__Saga__V1__WatchResponse *response = arena_take(arena, sizeof *response);
    json_t *history;

    sagamesh__saga__v1__watch_response__init(response);
    if (watch->history == NULL)
        return &response->base;
    history = history_read(watch->history);
    response->has_changed = int_of(history, "version") != watch->known_version;
    if (response->has_changed) {
        response->saga = saga_message(history, arena);
        response->steps = step_messages(history, arena, &response->n_steps);
    }
    json_decref(history);
    return &response->base;
}

/* ---- Signal ---- */

static enum error
signal_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__SignalRequest *request =
        (const Sagamesh__Saga__V1__SignalRequest *)message;
    struct saga_signal *news = op;
    struct problem *problem = &news->op.problem;

    (void)arena;
    news->name = request->name;
    news->version = request->version;
    news->payload_json = request->payload_json;
    if (check_id(problem, "request_id", request->request_id, &news->op.id) != ERR_OK ||
        check_id(problem, "saga_id", request->saga_id, &news->saga_id) != ERR_OK ||
        check_word(problem, "name", news->name, SAGA_NAME_BYTES_MAX) != ERR_OK)
        return problem->error;
    return check_range(problem, "version", news->version, 1, INT64_MAX);
}

static ProtobufCMessage *
signal_encode(const void *op, struct arena *arena)
{
    const struct saga_signal *news = op;
    Sagamesh__Saga__V1__SignalResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__signal_response__init(response);
    response->outcome = (Sagamesh__Saga__V1__SignalOutcome)news->outcome;
    response->version = news->stored_version;
    response->has_ended = news->has_ended;
    if (news->has_ended)
        response->status = (char *)(uintptr_t)news->status;
    return &response->base;
}

/* ---- List ---- */

/* A token is "shard.place" of the last saga of the page before. How many shards there are the shards know. */
static enum error
list_token_read(struct saga_list *list, const char *token)
{
    unsigned long long shard, place;
    int end = -1;

    list->from_place = INT64_MAX;
    if (token[0] == '\0')
        return ERR_OK;
    if (strspn(token, "0123456789.") != strlen(token) ||
        sscanf(token, "%4llu.%18llu%n", &shard, &place, &end) != 2 || end != (int)strlen(token))
        return check_refuse_token(&list->op.problem);
    list->from_shard = list->shard = (size_t)shard;
    list->from_place = (int64_t)place;
    return ERR_OK;
}

static enum error
list_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__ListRequest *request =
        (const Sagamesh__Saga__V1__ListRequest *)message;
    struct saga_list *list = op;

    (void)arena;
    if (check_range(&list->op.problem, "phase", (int64_t)request->phase, 0, PHASE_WORDS - 1) !=
            ERR_OK ||
        list_token_read(list, request->page_token) != ERR_OK)
        return list->op.problem.error;
    list->phase = phase_words[request->phase];
    return check_page_size(&list->op.problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
list_encode(const void *op, struct arena *arena)
{
    const struct saga_list *list = op;
    Sagamesh__Saga__V1__ListResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__list_response__init(response);
    response->n_sagas = list->count;
    response->sagas = arena_take(arena, list->count * sizeof *response->sagas);
    for (size_t i = 0; i < list->count; i++) {
        json_t *history = history_read(list->histories[i]);

        response->sagas[i] = saga_message(history, arena);
        json_decref(history);
    }
    if (list->has_more)
        response->next_page_token =
            arena_print(arena, "%zu.%lld", list->last_shard, (long long)list->last_place);
    return &response->base;
}

int64_t
saga_list_before(const struct saga_list *list)
{
    return list->shard == list->from_shard ? list->from_place : INT64_MAX;
}

/* ---- ListShard ---- */

static enum error
list_shard_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__ListShardRequest *request =
        (const Sagamesh__Saga__V1__ListShardRequest *)message;
    struct saga_list *list = op;

    (void)arena;
    if (check_range(&list->op.problem, "phase", (int64_t)request->phase, 0, PHASE_WORDS - 1) !=
            ERR_OK ||
        check_range(&list->op.problem, "shard", request->shard, 0, INT32_MAX) != ERR_OK)
        return list->op.problem.error;
    list->phase = phase_words[request->phase];
    list->is_part = true;
    list->shard = list->from_shard = (size_t)request->shard;
    list->from_place = request->before_place;
    return check_page_size(&list->op.problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
list_shard_encode(const void *op, struct arena *arena)
{
    const struct saga_list *list = op;
    Sagamesh__Saga__V1__ListShardResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__list_shard_response__init(response);
    response->n_histories = response->n_places = list->count;
    response->histories = (char **)(uintptr_t)list->histories;
    response->places = list->places;
    response->has_more = list->has_more;
    return &response->base;
}

/* ---- Forward ---- */

const ProtobufCMethodDescriptor *
saga_descriptor_of(const struct method *method)
{
    const ProtobufCMethodDescriptor *found = protobuf_c_service_descriptor_get_method_by_name(
        &sagamesh__saga__v1__saga_service__descriptor, method->name);

    return found != NULL ? found
                         : protobuf_c_service_descriptor_get_method_by_name(
                               &sagamesh__saga__v1__saga_control_service__descriptor, method->name);
}

/* Those about one saga. */
static const struct method *
forwarded_method(const char *name)
{
    for (size_t i = 0; saga_methods[i].name != NULL; i++) {
        if (strcmp(saga_methods[i].name, name) == 0)
            return i == SAGA_LIST || i == SAGA_LIST_DEFINITIONS || i >= SAGA_FORWARD
                       ? NULL
                       : &saga_methods[i];
    }
    return NULL;
}

static enum error
forward_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Saga__V1__ForwardRequest *request =
        (const Sagamesh__Saga__V1__ForwardRequest *)message;
    struct saga_forward *forward = op;
    struct problem *problem = &forward->op.problem;
    ProtobufCMessage *inner;

    forward->method = forwarded_method(request->method);
    if (forward->method == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "method", "is no method about one saga");
    if (pb_message_unpack(saga_descriptor_of(forward->method)->input, request->request.data,
                          request->request.len, arena, problem, &inner) != ERR_OK)
        return problem->error;
    forward->inner = arena_take(arena, forward->method->op_bytes);
    forward->inner->owner = forward->op.owner;
    forward->inner->traceparent = forward->op.traceparent;
    if (forward->method->decode(inner, arena, forward->inner) != ERR_OK)
        *problem = forward->inner->problem;
    return problem->error;
}

static ProtobufCMessage *
forward_encode(const void *op, struct arena *arena)
{
    const struct saga_forward *forward = op;
    Sagamesh__Saga__V1__ForwardResponse *response = arena_take(arena, sizeof *response);
    ProtobufCMessage *inner = forward->method->encode(forward->inner, arena);

    sagamesh__saga__v1__forward_response__init(response);
    response->response.len = protobuf_c_message_get_packed_size(inner);
    response->response.data = arena_take(arena, response->response.len + 1);
    protobuf_c_message_pack(inner, response->response.data);
    return &response->base;
}

struct forwarded {
    struct call call; /* first */
    struct call *outer;
};

static void
forwarded_finish(struct call *call)
{
    struct call *outer = ((struct forwarded *)(void *)call)->outer;

    outer->op->problem = call->op->problem;
    outer->finish(outer);
}

struct call *
saga_unwrap(struct call *outer)
{
    const struct saga_forward *forward = (const struct saga_forward *)outer->op;
    struct forwarded *forwarded = arena_take(outer->arena, sizeof *forwarded);
    struct call *call = &forwarded->call;

    forwarded->outer = outer;
    call->method = forward->method;
    call->arena = outer->arena;
    call->op = forward->inner;
    call->deadline_us = outer->deadline_us;
    call->item.lane = outer->item.lane;
    memcpy(call->traceparent, outer->traceparent, sizeof call->traceparent);
    call->finish = forwarded_finish;
    return call;
}

bool
saga_is_forwarded(const struct call *call)
{
    return call->finish == forwarded_finish;
}

/* ---- ListDefinitions ---- */

static enum error
list_definitions_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    (void)message;
    (void)arena;
    (void)op;
    return ERR_OK;
}

static ProtobufCMessage *
list_definitions_encode(const void *op, struct arena *arena)
{
    const struct saga_list_definitions *list = op;
    Sagamesh__Saga__V1__ListDefinitionsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__saga__v1__list_definitions_response__init(response);
    response->n_definitions = list->count;
    response->definitions = arena_take(arena, list->count * sizeof *response->definitions);
    for (size_t i = 0; i < list->count; i++) {
        Sagamesh__Saga__V1__Definition *definition = arena_take(arena, sizeof *definition);

        sagamesh__saga__v1__definition__init(definition);
        definition->name = (char *)list->lines[i].name;
        definition->hash = (char *)list->lines[i].hash;
        definition->is_newest = list->lines[i].is_newest;
        response->definitions[i] = definition;
    }
    return &response->base;
}

/* clang-format off */
const struct method saga_methods[] = { /* in the order of enum saga_method; decided by the shards */
    /* name              op                                    decode                   touch decide answer encode */
    { "Start",           sizeof(struct saga_start),            start_decode,            NULL, NULL, NULL, start_encode            },
    { "Cancel",          sizeof(struct saga_change),           cancel_decode,           NULL, NULL, NULL, cancel_encode           },
    { "Get",             sizeof(struct saga_get),              get_decode,              NULL, NULL, NULL, get_encode              },
    { "List",            sizeof(struct saga_list),             list_decode,             NULL, NULL, NULL, list_encode             },
    { "Retry",           sizeof(struct saga_change),           retry_decode,            NULL, NULL, NULL, retry_encode            },
    { "Compensate",      sizeof(struct saga_change),           compensate_decode,       NULL, NULL, NULL, compensate_encode       },
    { "ListDefinitions", sizeof(struct saga_list_definitions), list_definitions_decode, NULL, NULL, NULL, list_definitions_encode },
    { "Signal",          sizeof(struct saga_signal),           signal_decode,           NULL, NULL, NULL, signal_encode           },
    { "Watch",           sizeof(struct saga_watch),            watch_decode,            NULL, NULL, NULL, watch_encode            },
    { "Settle",          sizeof(struct saga_settle),           settle_decode,           NULL, NULL, NULL, settle_encode           },
    { "Forward",         sizeof(struct saga_forward),          forward_decode,          NULL, NULL, NULL, forward_encode          },
    { "ListShard",       sizeof(struct saga_list),             list_shard_decode,       NULL, NULL, NULL, list_shard_encode       },
    { 0 },
};
/* clang-format on */
