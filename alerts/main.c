/* alerts-svc -- Orders and payments that disagree are raised as alerts, and so is news that stays away.
 *
 *   alert_shard.c  news to alerts: the thread that consumes it
 *   alert_store.c  the rows that a shard writes beside its journal
 *
 *   alert_rpc.c    what people ask, as they see it: the table of methods
 *   alert.c        the rules of acknowledging and repairing
 *   dead_letter.c  records that cannot be read: their headers, and the rules of sending them
 *   letter_send.c  sends them
 *   silence.c      a source of news that is not heard
 *   notify.c       who is told of alerts
 *   notify_text.c  what they are told
 *   notice.c       the life of a notice
 *   notice_send.c  sends them
 *   alert_table.c  the tables of all of these, and all reads
 *   schema/        what must hold always
 */
#include "alerts/alert.h"
#include "alerts/alert_meter.h"
#include "alerts/alert_shard.h"
#include "alerts/letter_send.h"
#include "alerts/notice_send.h"
#include "alerts/silence.h"
#include "mesh/audit.h"
#include "mesh/base/clock.h"
#include "mesh/kafka/producer.h"
#include "mesh/service.h"

#include "sagamesh/alert/v1/alert_service.pb-c.h"

#include <curl/curl.h>

enum { GRACE_SECONDS_MAX = 7 * 24 * 3600, SILENT_SECONDS_MAX = 24 * 3600 };

/* Flags, and what the program has beside a service's usual parts. */
struct parts {
    struct alert_desk desk; /* first: tasks go by it */
    const char *group, *group_instance, *sources, *notify_config;
    int64_t session_ms, grace_a_seconds, grace_b_seconds, grace_c_seconds, silent_seconds;
    struct alert_shards *shards;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "group",           CONFIG_TEXT, "sagamesh-alerts",       0, 0,                  "consumer group; all replicas have the same", offsetof(struct parts, group) },
    { "group-instance",  CONFIG_TEXT, "",                      0, 0,                  "this replica's own name in the group, by which it keeps its partitions over a restart; empty: none", offsetof(struct parts, group_instance) },
    { "session-ms",      CONFIG_INT,  "10000",                 1000, 3600000,         "a replica that Kafka has not heard for so long loses its partitions to others", offsetof(struct parts, session_ms) },
    { "sources",         CONFIG_TEXT, "order-svc,account-svc", 0, 0,                  "programs whose heartbeats are waited for, with commas", offsetof(struct parts, sources) },
    { "silent-seconds",  CONFIG_INT,  "60",                    1, SILENT_SECONDS_MAX, "a source without a heartbeat for so long is raised as RELAY_SILENT", offsetof(struct parts, silent_seconds) },
    { "grace-a-seconds", CONFIG_INT,  "300",                   0, GRACE_SECONDS_MAX,  "RULE_A: a payment succeeded, and its order still waits for it", offsetof(struct parts, grace_a_seconds) },
    { "grace-b-seconds", CONFIG_INT,  "300",                   0, GRACE_SECONDS_MAX,  "RULE_B: an order is PAID, and no payment succeeded", offsetof(struct parts, grace_b_seconds) },
    { "grace-c-seconds", CONFIG_INT,  "0",                     0, GRACE_SECONDS_MAX,  "RULE_C: a payment succeeded too late, or for a FAILED order", offsetof(struct parts, grace_c_seconds) },
    { "notify-config",   CONFIG_TEXT, "",                      0, 0,                  "JSON file of the addresses that are told of alerts; empty: none", offsetof(struct parts, notify_config) },
    { 0 },
};
/* clang-format on */

/* An order whose alert is open for longer than rows are kept still ends in the week of its id. */
static const struct partitions partitions[] = {
    { .table = "op", .fill = 100, .open = "false" },
    { .table = "journal_final", .fill = 100, .open = "false", .pinned_by = "journal_parked" },
    { .table = "event", .fill = 100, .open = NULL },
    { 0 },
};

/* Both have the order's number, or the silent source's name, as their key. */
static const struct relay_route routes[] = {
    { "alert", "alerts.order_payment_inconsistency.v1", "orderNo" },
    { "relay_silent", "alerts.relay_silent.v1", "source" },
    { 0 },
};

static const struct pg_statement check = AUDIT_STATEMENT("alert_check", "alert_check()");

static bool
hears_kafka(void *owner)
{
    return alert_shards_hear(((struct parts *)owner)->shards);
}

static const struct keeper_task tasks[] = {
    { .name = "tell-people", .period_us = SECOND_US, .run = notice_send, .has_own_thread = true },
    { .name = "send-dead-letters",
      .period_us = SECOND_US,
      .run = letter_send,
      .has_own_thread = true },
    { .name = "forget-dead-letters",
      .period_us = 60 * SECOND_US,
      .sweep.statement = &letters_forget },
    { .name = "find-silence", .period_us = SECOND_US, .run = silence_look },
    { 0 },
};

static struct rule_graces
graces_of(const struct parts *parts)
{
    struct rule_graces graces = rule_graces_default();

    graces.us[RULE_A] = parts->grace_a_seconds * SECOND_US;
    graces.us[RULE_B] = parts->grace_b_seconds * SECOND_US;
    graces.us[RULE_C] = parts->grace_c_seconds * SECOND_US;
    return graces;
}

/* Without Kafka there is no news, and it serves what it has. */
static enum error
start_shards(struct parts *parts, struct service *service)
{
    const struct alert_shards_options options = {
        .conninfo = service_database(service),
        .partitions = partitions,
        .brokers = service_kafka(service),
        .group = parts->group,
        .instance = parts->group_instance,
        .session_ms = parts->session_ms,
        .sources = parts->sources,
        .silent_us = parts->silent_seconds * SECOND_US,
        .graces = graces_of(parts),
        .notify = parts->desk.notify,
        .metrics = service_ops(service)->metrics,
        .wrote = service_tell_written,
        .wrote_owner = service,
    };

    return options.brokers[0] == '\0' ? ERR_OK : alert_shards_open(&options, &parts->shards);
}

static enum error
start(void *owner, struct service *service)
{
    struct parts *parts = owner;
    struct alert_desk *desk = &parts->desk;
    enum error error;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    desk->batch = service_batch(service);
    desk->brokers = service_kafka(service);
    desk->metrics = service_ops(service)->metrics;
    desk->silent_us = parts->silent_seconds * SECOND_US;
    desk->began_us = clock_steady_us();
    error = silence_sources_read(parts->sources, desk);
    if (error == ERR_OK)
        error = notify_open(parts->notify_config, &desk->notify);
    if (error != ERR_OK)
        return error;
    silence_meter(desk->metrics);
    notice_meter(desk);
    letter_meter(desk->metrics);
    return start_shards(parts, service);
}

/* The tasks have ended. */
static void
stop(void *owner)
{
    struct parts *parts = owner;
    struct alert_desk *desk = &parts->desk;

    parts->shards = alert_shards_close(parts->shards);
    desk->producer = kafka_producer_free(desk->producer);
    desk->notify = notify_free(desk->notify);
    curl_global_cleanup();
}

int
main(int argc, char **argv)
{
    struct parts parts = { 0 };
    const struct service_spec spec = {
        .name = "alerts-svc",
        .usage = "alerts-svc: alerts of orders and payments that disagree, over gRPC"
                 " (sagamesh.alert.v1.AlertService)",
        .schema = schema_steps,
        .keys = keys,
        .values = &parts,
        .owner = &parts,
        .descriptor = &sagamesh__alert__v1__alert_service__descriptor,
        .methods = alert_methods,
        .batch = &alert_service,
        .reads = alert_reads,
        .statements = desk_statements,
        .tasks = tasks,
        .asked = alert_asked,
        .partitions = partitions,
        .check = &check,
        .hears_kafka = hears_kafka,
        .routes = routes,
        .start = start,
        .stop = stop,
    };

    return service_main(argc, argv, &spec);
}
