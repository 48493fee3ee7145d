/* letter_send.h -- The task that sends dead letters: to TOPIC.dlq, and where a person asks for it to TOPIC again.
 *
 * A record keeps its key, value, headers and timestamp. To the dead letters go, as further headers,
 *     dlq-reason, dlq-topic, dlq-partition, dlq-offset
 * and to its own topic, into its own partition, "dlq-resent" with the dead letter's id. Each arrives at least once: it
 * is marked when Kafka has acknowledged it.
 *
 * Thread    The keeper's, one of the task's own.
 * Errors    Of the database, as all tasks. What Kafka does not take is tried again, ever later (dead_letter.h); what it
 *           refuses for what it is, LETTER_REFUSALS_MAX times, is given up until a person asks for it.
 */
#ifndef ALERTS_LETTER_SEND_H
#define ALERTS_LETTER_SEND_H

#include "mesh/observe/metrics.h"
#include "mesh/store/pg.h"

/* Its metric is there before anything was refused. */
void letter_meter(struct metrics *metrics);

/* A run of the task; owner begins with a struct alert_desk. */
enum error letter_send(void *owner, struct pg *pg, struct arena *arena);

extern const struct pg_statement letters_due;

/* A sweep's: forgets those of which nothing is due, ID_DAYS_KEPT after they were found. A stranger who can write to a
 * topic must not fill the database for ever. */
extern const struct pg_statement letters_forget;

#endif
