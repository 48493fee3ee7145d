#include "mesh/kafka/conf.h"
#include "mesh/base/log.h"

#include <librdkafka/rdkafka.h>
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
