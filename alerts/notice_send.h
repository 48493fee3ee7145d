/* notice_send.h -- The task that tells people: leases notices that are due, sends them, and says what came of it.
 *
 * A run takes NOTICES_EACH at most, and sends them side by side; none takes longer than NOTICE_ANSWER_MS. What a
 * receiver answers with 2xx is sent. It may come twice (its answer was lost), with the same webhook-id.
 *
 * Thread    The keeper's, one of the task's own.
 * Errors    Of the database, as all tasks. A destination that does not answer is a notice's trouble.
 */
#ifndef ALERTS_NOTICE_SEND_H
#define ALERTS_NOTICE_SEND_H

#include "mesh/store/pg.h"

enum { NOTICES_EACH = 16, NOTICE_CONNECT_MS = 3000, NOTICE_ANSWER_MS = 5000 };

struct alert_desk;

/* Its metrics are there, with 0, for each destination before any was told. */
void notice_meter(const struct alert_desk *desk);

/* A run of the task; owner begins with a struct alert_desk. */
enum error notice_send(void *owner, struct pg *pg, struct arena *arena);

extern const struct pg_statement notices_due;

#endif
