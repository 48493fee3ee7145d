/* alert_meter.c -- By the partial indexes of what is open, unsent and undelivered. */
#include "alerts/alert_meter.h"

static const struct pg_statement alerts_open = ASKED_STATEMENT(
    "alerts_open",
    "SELECT rule, count(*), greatest(mesh_now_us($1) - min(detected_us), 0)::bigint FROM"
    " (SELECT rule, detected_us FROM alert WHERE resolved_us = 0 ORDER BY seq LIMIT " ASKED_LIMIT
    ") AS a GROUP BY rule");

static const struct pg_statement letters_unsent = ASKED_STATEMENT(
    "letters_unsent",
    "SELECT '', count(*), coalesce(greatest(mesh_now_us($1) - min(found_us), 0), 0)::bigint FROM"
    " (SELECT found_us FROM dead_letter WHERE due <> 0 ORDER BY claimed_until_us LIMIT " ASKED_LIMIT
    ") AS l");

static const struct pg_statement notices_waiting = ASKED_STATEMENT(
    "notices_waiting",
    "SELECT '', count(*), coalesce(greatest(mesh_now_us($1) - min(made_us), 0), 0)::bigint FROM"
    " (SELECT made_us FROM notice WHERE next_us <> 0 ORDER BY next_us LIMIT " ASKED_LIMIT ") AS n");

/* Sources are those of --sources. One that no shard has heard yet has no age. */
static const struct pg_statement sources_heard = ASKED_STATEMENT(
    "sources_heard",
    "SELECT source, greatest(mesh_now_us($1) - min(heard_us), 0)::bigint,"
    " bool_or(is_silent)::int::bigint FROM alert_source WHERE heard_us <> 0 GROUP BY source");

/* clang-format off */
const struct metric_row alert_raised_row = { "sagamesh_alerts_raised_total", METRIC_COUNTER, METRIC_NUMBER, "Alerts raised", { "rule" } };
const struct metric_row alert_resolved_row = { "sagamesh_alerts_resolved_total", METRIC_COUNTER, METRIC_NUMBER, "Alerts resolved", { "rule" } };

const struct asked_row alert_asked[] = {
    { &alerts_open,     { { "sagamesh_alerts_open",                   METRIC_GAUGE, METRIC_NUMBER,  "Alerts raised and not resolved, counted up to 10,000.",                       { "rule" } },
                          { "sagamesh_alert_oldest_seconds",          METRIC_GAUGE, METRIC_SECONDS, "Since when the oldest of them is raised; 0: there is none.",                  { "rule" } } },
                        (const char *const[]){ "RULE_A", "RULE_B", "RULE_C", "RELAY_SILENT", NULL } },
    { &letters_unsent,  { { "sagamesh_alert_dead_letters_unsent",     METRIC_GAUGE, METRIC_NUMBER,  "Dead letters that wait to be sent, counted up to 10,000.",                    { NULL } },
                          { "sagamesh_alert_dead_letter_oldest_seconds", METRIC_GAUGE, METRIC_SECONDS, "Age of the oldest of them; 0: there is none.",                             { NULL } } }, NULL },
    { &notices_waiting, { { "sagamesh_alert_notices_waiting",         METRIC_GAUGE, METRIC_NUMBER,  "Messages to people that are not delivered, counted up to 10,000.",            { NULL } },
                          { "sagamesh_alert_notice_oldest_seconds",   METRIC_GAUGE, METRIC_SECONDS, "Age of the oldest of them; 0: there is none.",                                { NULL } } }, NULL },
    { &sources_heard,   { { "sagamesh_alert_source_age_seconds",      METRIC_GAUGE, METRIC_SECONDS, "Age of the time up to which all news of a source was heard, in all partitions.", { "source" } },
                          { "sagamesh_alert_source_silent",           METRIC_GAUGE, METRIC_NUMBER,  "1: a partition has not heard the source for too long.",                      { "source" } } }, NULL },
    { 0 },
};
/* clang-format on */
