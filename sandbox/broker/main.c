/* sandbox-broker -- A Kafka for a laptop: librdkafka's mock cluster as a process of its own.
 *
 * No Java, starts at once, for the demo and the small tests. It has limits: it forgets everything at a
 * restart, keeps 5 MiB a partition and drops the oldest silently, and has no Admin API. So topics are
 * made when it starts, with many partitions; a real Kafka takes its place by --kafka (MESH_KAFKA).
 *
 * The library binds an ephemeral port of its own choice and has no call to name one. The bind() below,
 * which the dynamic linker finds before libc's, gives the wanted port to the first socket that asks
 * for any.
 */
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "mesh/base/text.h"

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct settings {
    const char *listen, *topics, *ready_file;
    int64_t partitions;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",     CONFIG_TEXT, "127.0.0.1:0", 0, 0, "its port, on 127.0.0.1 always; port 0 picks a free one", offsetof(struct settings, listen) },
    { "topics",     CONFIG_TEXT, "order-status-changed,payment-status-observed", 0, 0, "topics to make, with commas", offsetof(struct settings, topics) },
    { "partitions", CONFIG_INT,  "12", 1, 128,   "partitions of each topic", offsetof(struct settings, partitions) },
    { "ready-file", CONFIG_TEXT, "",   0, 0,     "file to write the port into once it serves", offsetof(struct settings, ready_file) },
    { 0 },
};
/* clang-format on */

static struct settings settings;
static in_port_t wanted_port; /* network order; 0: given away, or none is wanted */

int
bind(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct sockaddr_in own;

    if (wanted_port != 0 && address->sa_family == AF_INET && bytes >= sizeof own) {
        memcpy(&own, address, sizeof own);
        if (own.sin_port == 0) {
            int on = 1;

            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* a restart finds its port */
            own.sin_port = wanted_port;
            wanted_port = 0;
            return (int)syscall(SYS_bind, fd, &own, sizeof own);
        }
    }
    return (int)syscall(SYS_bind, fd, address, bytes);
}

/* In network order. */
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

static void
make_topics(rd_kafka_mock_cluster_t *cluster)
{
    char *list = strdup(settings.topics), *rest = NULL;

    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        if (rd_kafka_mock_topic_create(cluster, name, (int)settings.partitions, 1) !=
            RD_KAFKA_RESP_ERR_NO_ERROR)
            log_error("topic=%s because=\"cannot be made\"", name);
    }
    free(list);
}

static int
write_ready_file(const char *bootstrap)
{
    const char *port = strrchr(bootstrap, ':');
    char temporary[4096];
    FILE *file;

    if (settings.ready_file[0] == '\0')
        return 0;
    snprintf(temporary, sizeof temporary, "%s.new", settings.ready_file);
    file = fopen(temporary, "w");
    if (file == NULL || fprintf(file, "%s\n", port + 1) < 0 || fclose(file) != 0 ||
        rename(temporary, settings.ready_file) != 0) {
        log_error("ready_file=%s because=\"cannot be written\"", settings.ready_file);
        return 1;
    }
    return 0;
}

int
main(int argc, char **argv)
{
    const struct config_table table = { keys, &settings };
    rd_kafka_mock_cluster_t *cluster;
    char because[256];
    sigset_t signals;
    rd_kafka_t *handle;
    int signal_number;

    config_read(argc, argv, "sandbox-broker: a Kafka for a laptop; forgets everything at a restart",
                &table, 1);
    log_open("sandbox-broker", LOG_INFO);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    wanted_port = port_of(settings.listen);
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), because, sizeof because);
    cluster = handle == NULL ? NULL : rd_kafka_mock_cluster_new(handle, 1);
    if (cluster == NULL) {
        log_error("listen=%s because=\"cannot serve: is the port taken?\"", settings.listen);
        return 1;
    }
    make_topics(cluster);
    log_info("serving=%s", rd_kafka_mock_cluster_bootstraps(cluster));
    if (write_ready_file(rd_kafka_mock_cluster_bootstraps(cluster)) != 0)
        return 1;
    sigwait(&signals, &signal_number);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    return 0;
}
