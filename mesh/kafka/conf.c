#include "mesh/kafka/conf.h"
#include "mesh/base/log.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdlib.h>

static void
log_below(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    log_debug("kafka=%s level=%d because=\"%s\"", facility, level, text);
}

void
kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char because[256];

    if (rd_kafka_conf_set(conf, name, value, because, sizeof because) != RD_KAFKA_CONF_OK) {
        log_error("kafka=%s value=%s because=\"%s\"", name, value, because);
        abort(); /* a name this library does not know: a defect here */
    }
}

rd_kafka_conf_t *
kafka_conf_new(const char *brokers, const char *client)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    kafka_conf_set(conf, "bootstrap.servers", brokers);
    kafka_conf_set(conf, "client.id", client);
    kafka_conf_set(conf, "reconnect.backoff.ms", "50");
    kafka_conf_set(conf, "reconnect.backoff.max.ms", "1000");
    rd_kafka_conf_set_log_cb(conf, log_below);
    return conf;
}

enum error
kafka_topic_partitions(rd_kafka_t *handle, const char *topic, int timeout_ms, int32_t *ret_count)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *wanted = rd_kafka_topic_new(handle, topic, NULL);
    rd_kafka_resp_err_t error;
    bool is_there;

    if (wanted == NULL)
        return ERR_UNREACHABLE;
    error = rd_kafka_metadata(handle, 0, wanted, &metadata, timeout_ms);
    rd_kafka_topic_destroy(wanted);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return ERR_UNREACHABLE;
    is_there = metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (is_there)
        *ret_count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return is_there ? ERR_OK : ERR_NOT_FOUND;
}
