/* Two headers name a trace. `traceparent` is of the span that sent the record, and is there where the sending was
 * recorded; `ce_traceparent` is of the change that the event tells of, whatever carried it. The first one is the nearer
 * parent. A record that another program sent may have none of them, or what is no traceparent: it has no span. */
#include "mesh/kafka/consumer_span.h"
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 128 };

static bool
header_read(const struct kafka_message *message, const char *name,
            char ret_traceparent[TRACE_PARENT_BYTES + 1])
{
    for (size_t i = 0; i < message->header_count; i++) {
        const struct kafka_field *field = &message->headers[i];

        if (strcmp(field->name, name) == 0 && field->value != NULL &&
            trace_parse(field->value, field->bytes, ret_traceparent))
            return true;
    }
    return false;
}

/* Where a record lies it lies for ever, so this names its processing. */
static uint64_t
id_of(const struct kafka_message *message, const char *topic)
{
    uint64_t hash = hash_text(HASH_SEED, topic);

    return hash_end(hash_int(hash_int(hash, message->partition), message->offset));
}

void
kafka_span_processed(const struct kafka_message *message, const char *topic, const char *group,
                     int64_t started_us)
{
    char traceparent[TRACE_PARENT_BYTES + 1], sent[TRACE_PARENT_BYTES + 1], name[NAME_BYTES];
    char partition[16];
    struct span span;

    if (!spans_are_on())
        return;
    /* The sending's, where that was recorded; else the change's. */
    if (!header_read(message, "traceparent", traceparent) &&
        !header_read(message, "ce_traceparent", traceparent))
        return;
    memcpy(sent, traceparent, sizeof sent);
    span_begin_as(&span, traceparent, id_of(message, topic));
    if (!span_is_on(&span))
        return;
    span.start_us = started_us;
    snprintf(name, sizeof name, "process %s", topic);
    snprintf(partition, sizeof partition, "%d", (int)message->partition);
    span_end(
        &span, traceparent,
        &(struct span_note){ .kind = SPAN_CONSUMER,
                             .name = name,
                             .link = sent,
                             .attributes = { { "messaging.system", "kafka", 0 },
                                             { "messaging.operation.name", "process", 0 },
                                             { "messaging.operation.type", "process", 0 },
                                             { "messaging.destination.name", topic, 0 },
                                             { "messaging.destination.partition.id", partition, 0 },
                                             { "messaging.kafka.offset", NULL, message->offset },
                                             { "messaging.consumer.group.name", group, 0 } } });
}
