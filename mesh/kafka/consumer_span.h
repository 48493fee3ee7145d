/* consumer_span.h -- A record that was applied, as a span: in the trace of the change that it tells of, with a link to
 * the span that sent it.
 *
 * Thread    The consumer's owner.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef MESH_KAFKA_CONSUMER_SPAN_H
#define MESH_KAFKA_CONSUMER_SPAN_H

#include "mesh/kafka/consumer.h"
#include "mesh/observe/span.h"

/* When what came of it is stored. Its id is derived from where the record lies, so that a record which is applied once
 * more after a crash is the same span. started_us: when it was polled. Does nothing for a record without a
 * traceparent, or one that is not recorded. */
void kafka_span_processed(const struct kafka_message *message, const char *topic, const char *group,
                          int64_t started_us);

#endif
