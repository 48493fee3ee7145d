/* conf.h -- What producers and consumers have in common of librdkafka. Inside mesh/kafka only.
 *
 * Errors    A setting that the library does not know is a defect and ends the program.
 */
#ifndef MESH_KAFKA_CONF_H
#define MESH_KAFKA_CONF_H

#include "mesh/base/error.h"

#include <stdint.h>

typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;

/* With the brokers, the client's name and how fast it comes back to a broker that was away. The library's own
 * lines, of every reconnect, are for debugging: who uses it says once that the broker is away. */
rd_kafka_conf_t *kafka_conf_new(const char *brokers, const char *client);

void kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value);

/* How many partitions a topic has. ERR_NOT_FOUND: there is no such topic. ERR_UNREACHABLE: no answer in time. */
enum error kafka_topic_partitions(rd_kafka_t *handle, const char *topic, int timeout_ms,
                                  int32_t *ret_count);

#endif
