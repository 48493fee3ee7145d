/* ctl_move_all.h -- Retry and compensate for all stuck sagas that --state and --reason name.
 *
 * Each saga is moved by a call with an id of its own, --rate of them a second. A saga that was moved is
 * stuck no more, so a word that broke off goes on where it was when it is said again.
 *
 * Memory    A page of the list.
 * Errors    A refusal is said and counted, and the others are moved all the same. When saga-svc does not
 *           answer, the word ends.
 */
#ifndef CTL_MOVE_ALL_H
#define CTL_MOVE_ALL_H

#include "sagactl/ctl.h"

typedef struct ProtobufCMessage ProtobufCMessage;

/* The request that moves this saga, in ctl->arena, and the method that takes it. */
typedef const ProtobufCMessage *ctl_move_request(struct ctl *ctl, const char *saga_id,
                                                 const char *request_id, const char **ret_method);

enum ctl_exit ctl_move_all(struct ctl *ctl, ctl_move_request *request);

#endif
