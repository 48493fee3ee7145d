/* sandbox-broker -- A Kafka for a laptop: librdkafka's mock cluster as a process of its own.
 *
 * No Java, starts at once, for the demo and the small tests. It has limits: it forgets everything at a
 * restart, keeps 5 MiB a partition and drops the oldest silently, and has no Admin API. So topics are
 * made when it starts, with many partitions; a real Kafka takes its place by --kafka (MESH_KAFKA).
 * Its port is chosen by broker_bind.h.
 */
#include "mesh/base/log.h"
#include "mesh/base/text.h"
#include "mesh/program.h"
#include "sandbox/broker/broker_bind.h"

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *listen, *topics;
    int64_t partitions;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",     CONFIG_TEXT, "127.0.0.1:0", 0, 0, "its port, on 127.0.0.1 always; port 0 picks a free one", offsetof(struct settings, listen) },
    { "topics",     CONFIG_TEXT, "order-status-changed,payment-status-observed,alerts.order_payment_inconsistency.v1,alerts.relay_silent.v1,order-status-changed.dlq,payment-status-observed.dlq", 0, 0, "topics to make, with commas", offsetof(struct settings, topics) },
    { "partitions", CONFIG_INT,  "12", 1, 128,   "partitions of each topic", offsetof(struct settings, partitions) },
    { 0 },
};
/* clang-format on */

/* In network order. Another host than 127.0.0.1 is not asked about: the library listens there alone. */
static in_port_t
port_of(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    int64_t port;

    if (colon == NULL || !text_read_int(colon + 1, 0, UINT16_MAX, &port)) {
        fprintf(stderr, "--listen: must be 127.0.0.1:PORT, not '%s'\n", listen);
        exit(2);
    }
    return htons((in_port_t)port);
}

/* There is no Admin API, so a topic that a program wants and that is not here cannot be made later. */
static void
make_topics(rd_kafka_mock_cluster_t *cluster, const struct settings *settings)
{
    char *list = strdup(settings->topics), *rest = NULL;

    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (rd_kafka_mock_topic_create(cluster, name, (int)settings->partitions, 1) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            log_error("topic=%s because=\"cannot be made\"", name);
    }
    free(list);
}

/* ---- the program ---- */

struct broker {
    struct settings settings;
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *cluster;
};

/* The library's own lines are none of ours in form, and say nothing that a person must know. */
static void
log_of_library(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    log_debug("kafka=%s level=%d because=\"%s\"", facility, level, text);
}

static enum error
open_all(void *owner, const struct ops *ops)
{
    struct broker *broker = owner;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char because[256];

    (void)ops;
    rd_kafka_conf_set_log_cb(conf, log_of_library);
    broker_bind_want(port_of(broker->settings.listen));
    broker->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, because, sizeof because);
    broker->cluster = broker->handle == NULL ? NULL : rd_kafka_mock_cluster_new(broker->handle, 1);
    if (broker->cluster == NULL) {
        log_error("listen=%s because=\"cannot serve: is the port taken?\"",
                  broker->settings.listen);
        return ERR_UNREACHABLE;
    }
    make_topics(broker->cluster, &broker->settings);
    log_info("serving=%s", rd_kafka_mock_cluster_bootstraps(broker->cluster));
    return ERR_OK;
}

/* Once it is open it serves; the port is found in what clients would be told. */
static bool
is_ready(void *owner, int ret_ports[PROGRAM_PORTS_MAX])
{
    const struct broker *broker = owner;
    const char *port = strrchr(rd_kafka_mock_cluster_bootstraps(broker->cluster), ':');

    ret_ports[0] = (int)strtol(port + 1, NULL, 10);
    return true;
}

static void
close_all(void *owner, int drain_ms)
{
    struct broker *broker = owner;

    (void)drain_ms;
    rd_kafka_mock_cluster_destroy(broker->cluster);
    rd_kafka_destroy(broker->handle);
}

int
main(int argc, char **argv)
{
    struct broker broker = { 0 };
    const struct config_table tables[] = { { keys, &broker.settings }, { 0 } };
    const struct program program = {
        .name = "sandbox-broker",
        .usage = "sandbox-broker: a Kafka for a laptop; forgets everything at a restart",
        .tables = tables,
        .owner = &broker,
        .open = open_all,
        .is_ready = is_ready,
        .close = close_all,
    };

    return program_main(argc, argv, &program);
}
