/* ctl_client.h -- One question to a service, and its answer as a message.
 *
 * Thread    The caller's; it waits.
 * Memory    Answers live in ctl->arena.
 * Errors    Said here, with the next move: an asker that gets no answer returns ctl_client_exit().
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include "mesh/rpc/post.h"
#include "sagactl/ctl.h"

#include <protobuf-c/protobuf-c.h>

struct ctl_client;

/* name is the flag that carries the address: "saga". An address that was not given is looked for
 * where ./dev up keeps it. NULL when there is none. */
struct ctl_client *ctl_client_open(struct ctl *ctl, const char *name, const char *address);
struct ctl_client *ctl_client_close(struct ctl_client *client);
const char *ctl_client_address(const struct ctl_client *client);

/* How often a call is sent before it counts as failed. 1 at first: an operator wants to know. */
void ctl_client_persist(struct ctl_client *client, int attempts_max);

/* From now on its questions go to one of the service's replicas, as long as that is well: what one replica keeps in
 * memory, another does not know. */
void ctl_client_stay(struct ctl_client *client);

/* The answer to service/method, or NULL after saying why there is none. */
const ProtobufCMessage *ctl_client_ask(struct ctl_client *client,
                                       const ProtobufCServiceDescriptor *service,
                                       const char *method, const ProtobufCMessage *request);

/* The same with a wait of its own, in seconds on top of --timeout. */
const ProtobufCMessage *ctl_client_ask_long(struct ctl_client *client,
                                            const ProtobufCServiceDescriptor *service,
                                            const char *method, const ProtobufCMessage *request,
                                            int64_t more_seconds);

/* The same without a word, for a caller that goes on: NULL with what came instead. ctl_client_say() says
 * that later. */
const ProtobufCMessage *ctl_client_try(struct ctl_client *client,
                                       const ProtobufCServiceDescriptor *service,
                                       const char *method, const ProtobufCMessage *request,
                                       struct rpc_result *ret_result);
void ctl_client_say(struct ctl_client *client, const char *method, const struct rpc_result *result);

/* Many questions at once. A message is full at 4 MiB: answers that may be large go alone. answers[i] is
 * NULL where there is no such thing (NOT_FOUND). False: another answer came, which was said. */
struct ctl_many {
    const ProtobufCServiceDescriptor *service;
    const char *method;
    bool is_large;
};
bool ctl_client_ask_many(struct ctl_client *client, const struct ctl_many *what,
                         const ProtobufCMessage *const *requests, size_t count,
                         const ProtobufCMessage **answers);

/* The exit status of the last question that failed. */
enum ctl_exit ctl_client_exit(const struct ctl_client *client);

/* After a question that failed: if it may have been done all the same, only the same id, once more, is
 * safe, and people are told how. */
void ctl_client_say_again(const struct ctl_client *client, const char *argument,
                          const char *request_id);

#endif
