#include "sagactl/ctl_client.h"
#include "mesh/base/clock.h"
#include "mesh/pb/message.h"

#include <assert.h>
#include <ctype.h>
#include <libgen.h>
#include <limits.h>
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
    uint64_t key; /* of one replica; 0: any */
    enum ctl_exit exit;
    bool may_have_happened; /* the last question that failed */
};

/* ---- addresses ---- */

/* ./dev up keeps each program's ports in .run/ports/NAME and NAME-inner, beside the build directory. */
static const char *
find_port(struct ctl *ctl, const char *name)
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

/* The inner port, where all that an operator asks for is served; of a program without one the only one. */
static const char *
find_address(struct ctl *ctl, const char *name)
{
    const char *inner = find_port(ctl, arena_print(ctl->arena, "%s-inner", name));

    return inner != NULL ? inner : find_port(ctl, name);
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
    options.target = address;
    options.flag = name;
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
ctl_client_stay(struct ctl_client *client)
{
    struct uuid id = uuid_v7(clock_now_us());

    client->key = rpc_key(&id, sizeof id);
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
    { "NOT_ALLOWED", "The identity in --tls-cert must stand in a rule of that program's --policy file." },
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
    if (result->code == WIRE_UNIMPLEMENTED)
        return arena_print(client->ctl->arena,
                           "It is served on the program's inner port: --%s=HOST:PORT of its "
                           "--inner-listen",
                           client->name);
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

static struct rpc_post
post_of(const struct ctl_client *client, const ProtobufCServiceDescriptor *service,
        const char *method, const ProtobufCMessage *request)
{
    return (struct rpc_post){
        .method = arena_print(client->ctl->arena, "%s/%s", service->name, method),
        .message = request,
        .timeout_us = client->ctl->timeout_seconds * SECOND_US,
        .attempts_max = client->attempts_max,
        .key = client->key,
    };
}

/* NULL with what came instead, unless it was an answer that cannot be read, which is said. */
static const ProtobufCMessage *
ask(struct ctl_client *client, const ProtobufCServiceDescriptor *service, const char *method,
    const ProtobufCMessage *request, int64_t more_seconds, struct rpc_result *ret_result)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    struct rpc_post post = post_of(client, service, method, request);

    assert(descriptor != NULL);
    post.timeout_us += more_seconds * SECOND_US;
    post.must_go_alone = true;
    rpc_ask(client->rpc, &post, 1, client->ctl->arena, ret_result);
    if (ret_result->code == WIRE_OK)
        return read_answer(client, descriptor->output, ret_result);
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

static bool
round_read(struct ctl_client *client, const struct ctl_many *what, const struct rpc_result *result,
           const ProtobufCMessage **ret_answer)
{
    const ProtobufCMethodDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(what->service, what->method);

    *ret_answer = NULL;
    if (result->code == WIRE_NOT_FOUND && result->reason[0] != '\0')
        return true;
    if (result->code == WIRE_OK) {
        *ret_answer = read_answer(client, descriptor->output, result);
        return *ret_answer != NULL;
    }
    client->exit = is_unreachable(result->code) ? CTL_UNREACHABLE : CTL_REFUSED;
    ctl_client_say(client, what->method, result);
    return false;
}

bool
ctl_client_ask_many(struct ctl_client *client, const struct ctl_many *what,
                    const ProtobufCMessage *const *requests, size_t count,
                    const ProtobufCMessage **answers)
{
    size_t round_size = what->is_large ? MANY_LARGE : MANY;
    struct rpc_post *posts = arena_take(client->ctl->arena, round_size * sizeof *posts);
    struct rpc_result *results = arena_take(client->ctl->arena, round_size * sizeof *results);

    for (size_t first = 0; first < count; first += round_size) {
        size_t n = count - first < round_size ? count - first : round_size;

        for (size_t i = 0; i < n; i++) {
            posts[i] = post_of(client, what->service, what->method, requests[first + i]);
            posts[i].must_go_alone = what->is_large;
        }
        rpc_ask(client->rpc, posts, n, client->ctl->arena, results);
        for (size_t i = 0; i < n; i++) {
            if (!round_read(client, what, &results[i], &answers[first + i]))
                return false;
        }
    }
    return true;
}
