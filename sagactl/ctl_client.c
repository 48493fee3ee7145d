#include "sagactl/ctl_client.h"
#include "mesh/base/clock.h"
#include "mesh/pb/message.h"

#include <assert.h>
#include <ctype.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Questions under way at once. */
enum { MANY = 256, MANY_LARGE = 32 };

struct ctl_client {
    struct ctl *ctl;
    const char *name, *address;
    struct rpc_client *rpc;
    int attempts_max;
    enum ctl_exit exit;
    bool may_have_happened; /* the last question that failed */
};

/* ---- addresses ---- */

/* ./dev up keeps each program's port in .run/ports/NAME, beside the build directory. */
static const char *
find_address(struct ctl *ctl, const char *name)
{
    char self[PATH_MAX] = { 0 };
    const char *folders[2] = { ".", NULL };

    if (readlink("/proc/self/exe", self, sizeof self - 1) > 0)
        folders[1] = arena_print(ctl->arena, "%s/..", dirname(self));
    for (size_t i = 0; i < 2 && folders[i] != NULL; i++) {
        FILE *file = fopen(arena_print(ctl->arena, "%s/.run/ports/%s", folders[i], name), "r");
        int port = 0;

        if (file == NULL)
            continue;
        if (fscanf(file, "%d", &port) != 1)
            port = 0;
        fclose(file);
        if (port > 0 && port < 65536)
            return arena_print(ctl->arena, "127.0.0.1:%d", port);
    }
    return NULL;
}

/* What config.h reads when the flag is not given. */
static const char *
environment_name(struct ctl *ctl, const char *name)
{
    char *text = arena_print(ctl->arena, "MESH_%s", name);

    for (char *at = text; *at != '\0'; at++)
        *at = (char)toupper((unsigned char)*at);
    return text;
}

struct ctl_client *
ctl_client_open(struct ctl *ctl, const char *name, const char *address)
{
    struct ctl_client *client = arena_take(ctl->arena, sizeof *client);
    struct rpc_client_options options = { .is_mesh = true,
                                          .waiting_max = MANY,
                                          .envelopes_max = 4 };

    if (address[0] == '\0')
        address = find_address(ctl, name);
    if (address == NULL) {
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "Name it, or start a mesh: ./dev up",
                 "where is %s? There is no --%s=HOST:PORT, no %s in the environment and no mesh of "
                 "./dev up here",
                 name, name, environment_name(ctl, name));
        return NULL;
    }
    client->ctl = ctl;
    client->name = name;
    client->address = address;
    client->attempts_max = 1;
    options.address = address;
    if (rpc_client_open(&options, &client->rpc) != ERR_OK) {
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", NULL, "'%s' is no address", address);
        return NULL;
    }
    return client;
}

struct ctl_client *
ctl_client_close(struct ctl_client *client)
{
    if (client != NULL)
        rpc_client_close(client->rpc);
    return NULL;
}

const char *
ctl_client_address(const struct ctl_client *client)
{
    return client->address;
}

void
ctl_client_persist(struct ctl_client *client, int attempts_max)
{
    client->attempts_max = attempts_max;
}

void
ctl_client_say_again(const struct ctl_client *client, const char *argument, const char *request_id)
{
    if (client->may_have_happened && !client->ctl->is_json)
        fprintf(stderr,
                "         It may have happened all the same. The same try once more:\n"
                "         sagactl %s %s --request-id=%s\n",
                client->ctl->word, argument, request_id);
}

enum ctl_exit
ctl_client_exit(const struct ctl_client *client)
{
    return client->exit;
}

/* ---- asking ---- */

struct question {
    struct rpc_request request; /* first */
    struct rpc_result result;
    struct arena *arena;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool is_done;
};

static void
question_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct question *question = (struct question *)request;

    pthread_mutex_lock(&question->lock);
    question->result = *result;
    question->result.reply = NULL;
    if (result->code == WIRE_OK)
        question->result.reply = (const uint8_t *)arena_copy(
            question->arena, (const char *)result->reply, result->reply_bytes);
    question->is_done = true;
    pthread_cond_signal(&question->answered);
    pthread_mutex_unlock(&question->lock);
}

static void
question_ask(struct question *question, struct rpc_client *rpc)
{
    pthread_mutex_init(&question->lock, NULL);
    pthread_cond_init(&question->answered, NULL);
    rpc_client_send(rpc, &question->request);
    pthread_mutex_lock(&question->lock);
    while (!question->is_done)
        pthread_cond_wait(&question->answered, &question->lock);
    pthread_mutex_unlock(&question->lock);
    pthread_cond_destroy(&question->answered);
    pthread_mutex_destroy(&question->lock);
}

/* ---- what an answer that is none means, and what to do about it ---- */

static bool
is_unreachable(enum wire_code code)
{
    return code == WIRE_UNAVAILABLE || code == WIRE_DEADLINE_EXCEEDED;
}

/* clang-format off */
static const struct {
    const char *reason, *next;
} moves[] = {
    { "NOT_STUCK",  "Only a stuck saga can be moved: sagactl list --phase=stuck" },
    { "NOT_TROUBLED", "sagactl payments lists those that need a person." },
    { "PAYMENT_TAKEN", "Undo the order: that refunds it." },
    { "TOO_LATE",   "sagactl show ID says how far it has come." },
    { "STORE_DOWN", "Its database is away: the program goes on by itself once it is back." },
    { "BUSY",       "Ask again in a moment." },
};
/* clang-format on */

static const char *
next_move(const struct ctl_client *client, const struct rpc_result *result)
{
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        if (strcmp(result->reason, moves[i].reason) == 0)
            return moves[i].next;
    }
    if (strcmp(result->reason, "NOT_FOUND") == 0 && strcmp(client->name, "saga") == 0)
        return "sagactl list shows the sagas that have not ended; --phase=ended the others.";
    if (strcmp(result->reason, "NOT_FOUND") == 0 && strcmp(client->name, "order") == 0)
        return "sagactl orders shows the orders that have not ended.";
    if (result->code == WIRE_UNAVAILABLE)
        return arena_print(client->ctl->arena,
                           "Does it run? ./dev status. Is it elsewhere? --%s=HOST:PORT",
                           client->name);
    if (result->code == WIRE_DEADLINE_EXCEEDED)
        return arena_print(
            client->ctl->arena,
            "Give it longer with --timeout=SECONDS, or look at its log: ./dev logs %s",
            client->name);
    return NULL;
}

static const char *
code_name(const struct rpc_result *result)
{
    if (result->reason[0] != '\0')
        return result->reason;
    return is_unreachable(result->code) ? "UNREACHABLE" : "FAILED";
}

void
ctl_client_say(struct ctl_client *client, const char *method, const struct rpc_result *result)
{
    if (is_unreachable(result->code) && result->reason[0] == '\0')
        ctl_fail(client->ctl, client->exit, code_name(result), next_move(client, result),
                 "nobody answers at %s (%s): %s", client->address, client->name, result->message);
    else
        ctl_fail(client->ctl, client->exit, code_name(result), next_move(client, result),
                 "%s: %s (%s)", method, result->message, code_name(result));
}

/* ---- a question ---- */

static const ProtobufCMessage *
read_answer(struct ctl_client *client, const ProtobufCMessageDescriptor *descriptor,
            const struct rpc_result *result)
{
    struct problem problem = { 0 };
    ProtobufCMessage *message;

    if (pb_message_unpack(descriptor, result->reply, result->reply_bytes, client->ctl->arena,
                          &problem, &message) == ERR_OK)
        return message;
    client->exit = CTL_REFUSED;
    ctl_fail(client->ctl, client->exit, "BAD_ANSWER", "Is that address really the service's?",
             "%s answered something that is no %s: %s", client->address, descriptor->name,
             problem.text);
    return NULL;
}

/* NULL with what came instead, unless it was an answer that cannot be read, which is said. */
static const ProtobufCMessage *
ask(struct ctl_client *client, const ProtobufCServiceDescriptor *service, const char *method,
    const ProtobufCMessage *request, int64_t more_seconds, struct rpc_result *ret_result)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    struct arena *arena = client->ctl->arena;
    uint8_t *bytes = arena_take(arena, protobuf_c_message_get_packed_size(request));
    struct question question = {
        .request = { .method = arena_print(arena, "%s/%s", service->name, method),
                     .message = bytes,
                     .message_bytes = protobuf_c_message_pack(request, bytes),
                     .timeout_us = (client->ctl->timeout_seconds + more_seconds) * SECOND_US,
                     .attempts_max = client->attempts_max,
                     .must_go_alone = true,
                     .done = question_done },
        .arena = arena,
    };

    assert(descriptor != NULL);
    question_ask(&question, client->rpc);
    *ret_result = question.result;
    if (question.result.code == WIRE_OK)
        return read_answer(client, descriptor->output, &question.result);
    client->exit = is_unreachable(ret_result->code) ? CTL_UNREACHABLE : CTL_REFUSED;
    client->may_have_happened =
        (is_unreachable(ret_result->code) || ret_result->code == WIRE_UNKNOWN) &&
        !ret_result->nothing_done;
    return NULL;
}

const ProtobufCMessage *
ctl_client_try(struct ctl_client *client, const ProtobufCServiceDescriptor *service,
               const char *method, const ProtobufCMessage *request, struct rpc_result *ret_result)
{
    return ask(client, service, method, request, 0, ret_result);
}

const ProtobufCMessage *
ctl_client_ask_long(struct ctl_client *client, const ProtobufCServiceDescriptor *service,
                    const char *method, const ProtobufCMessage *request, int64_t more_seconds)
{
    struct rpc_result result;
    const ProtobufCMessage *answer = ask(client, service, method, request, more_seconds, &result);

    if (answer == NULL && result.code != WIRE_OK)
        ctl_client_say(client, method, &result);
    return answer;
}

const ProtobufCMessage *
ctl_client_ask(struct ctl_client *client, const ProtobufCServiceDescriptor *service,
               const char *method, const ProtobufCMessage *request)
{
    return ctl_client_ask_long(client, service, method, request, 0);
}

/* ---- many questions ---- */

/* Those of one round, and how many have no answer yet. */
struct round {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    size_t left;
};

struct round_question {
    struct rpc_request request; /* first */
    struct rpc_result result;
    struct round *round;
    struct arena *arena; /* while the round is under way, only this thread takes of it */
};

static void
round_done(struct rpc_request *request, const struct rpc_result *result)
{
    struct round_question *question = (struct round_question *)request;
    struct round *round = question->round;

    question->result = *result;
    if (result->code == WIRE_OK)
        question->result.reply = (const uint8_t *)arena_copy(
            question->arena, (const char *)result->reply, result->reply_bytes);
    pthread_mutex_lock(&round->lock);
    if (--round->left == 0)
        pthread_cond_signal(&round->answered);
    pthread_mutex_unlock(&round->lock);
}

static struct round_question *
round_ask(struct ctl_client *client, const struct ctl_many *what,
          const ProtobufCMessage *const *requests, size_t count)
{
    struct arena *arena = client->ctl->arena;
    struct round_question *questions = arena_take(arena, count * sizeof *questions);
    struct round round = { .left = count };

    pthread_mutex_init(&round.lock, NULL);
    pthread_cond_init(&round.answered, NULL);
    for (size_t i = 0; i < count; i++) {
        uint8_t *bytes = arena_take(arena, protobuf_c_message_get_packed_size(requests[i]));

        questions[i].request = (struct rpc_request){
            .method = arena_print(arena, "%s/%s", what->service->name, what->method),
            .message = bytes,
            .message_bytes = protobuf_c_message_pack(requests[i], bytes),
            .timeout_us = client->ctl->timeout_seconds * SECOND_US,
            .attempts_max = client->attempts_max,
            .must_go_alone = what->is_large,
            .done = round_done,
        };
        questions[i].round = &round;
        questions[i].arena = arena;
    }
    for (size_t i = 0; i < count; i++)
        rpc_client_send(client->rpc, &questions[i].request);
    pthread_mutex_lock(&round.lock);
    while (round.left > 0)
        pthread_cond_wait(&round.answered, &round.lock);
    pthread_mutex_unlock(&round.lock);
    pthread_cond_destroy(&round.answered);
    pthread_mutex_destroy(&round.lock);
    return questions;
}

static bool
round_read(struct ctl_client *client, const struct ctl_many *what,
           const struct round_question *question, const ProtobufCMessage **ret_answer)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(what->service, what->method);

    *ret_answer = NULL;
    if (question->result.code == WIRE_NOT_FOUND && question->result.reason[0] != '\0')
        return true;
    if (question->result.code == WIRE_OK) {
        *ret_answer = read_answer(client, descriptor->output, &question->result);
        return *ret_answer != NULL;
    }
    client->exit = is_unreachable(question->result.code) ? CTL_UNREACHABLE : CTL_REFUSED;
    ctl_client_say(client, what->method, &question->result);
    return false;
}

bool
ctl_client_ask_many(struct ctl_client *client, const struct ctl_many *what,
                    const ProtobufCMessage *const *requests, size_t count,
                    const ProtobufCMessage **answers)
{
    size_t round_size = what->is_large ? MANY_LARGE : MANY;

    for (size_t first = 0; first < count; first += round_size) {
        size_t n = count - first < round_size ? count - first : round_size;
        const struct round_question *questions = round_ask(client, what, requests + first, n);

        for (size_t i = 0; i < n; i++) {
            if (!round_read(client, what, &questions[i], &answers[first + i]))
                return false;
        }
    }
    return true;
}
