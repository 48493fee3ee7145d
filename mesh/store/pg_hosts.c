#include "mesh/store/pg_hosts.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/store/pg.h"
#include "mesh/store/pg_wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64 }; /* keywords of a connection; libpq knows some forty */

/* The hosts of a conninfo: how many, and which one is tried. */
struct hosts {
    PQconninfoOption *options;
    size_t count;
};

struct keywords {
    const char *names[WORDS_MAX], *values[WORDS_MAX];
    size_t count;
};

static const char *
value_of(const struct hosts *hosts, const char *keyword)
{
    for (const PQconninfoOption *option = hosts->options; option != NULL && option->keyword != NULL;
         option++) {
        if (strcmp(option->keyword, keyword) == 0)
            return option->val == NULL ? "" : option->val;
    }
    return "";
}

static size_t
count_items(const char *list)
{
    size_t count = 1;

    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

/* The item of a list with commas; of a list with one item that one, whichever is asked for. */
static void
item_copy(const char *list, size_t index, char item[PG_WORDS_BYTES])
{
    if (strchr(list, ',') == NULL)
        index = 0;
    for (; index > 0 && *list != '\0'; list++)
        index -= *list == ',';
    snprintf(item, PG_WORDS_BYTES, "%.*s", (int)strcspn(list, ","), list);
}

static bool
hosts_open(const char *conninfo, struct hosts *ret_hosts, char words[PG_WORDS_BYTES])
{
    char *because = NULL;

    ret_hosts->options = PQconninfoParse(conninfo, &because);
    if (ret_hosts->options == NULL) {
        snprintf(words, PG_WORDS_BYTES, "%s", because == NULL ? "out of memory" : because);
        PQfreemem(because);
        return false;
    }
    /* With addresses beside the names libpq goes through the list by itself. */
    ret_hosts->count =
        value_of(ret_hosts, "hostaddr")[0] != '\0' ? 1 : count_items(value_of(ret_hosts, "host"));
    if (ret_hosts->count > PG_HOSTS_MAX)
        ret_hosts->count = PG_HOSTS_MAX;
    return true;
}

static void
put(struct keywords *keywords, const char *name, const char *value)
{
    if (keywords->count >= WORDS_MAX - 1)
        return;
    keywords->names[keywords->count] = name;
    keywords->values[keywords->count++] = value;
}

/* Of a keyword that comes twice libpq takes the last: what the operator wrote goes before our defaults,
 * and the one host before the list. */
static PGconn *
host_connect(const struct hosts *hosts, size_t index, const char *application, bool must_write)
{
    struct keywords keywords = { 0 };
    char host[PG_WORDS_BYTES], port[PG_WORDS_BYTES], seconds[16];

    snprintf(seconds, sizeof seconds, "%d", PG_CONNECT_SECONDS_MAX);
    put(&keywords, "connect_timeout", seconds);
    put(&keywords, "tcp_user_timeout", "10000");
    put(&keywords, "keepalives_idle", "5");
    put(&keywords, "keepalives_interval", "2");
    put(&keywords, "keepalives_count", "3");
    put(&keywords, "application_name", application);
    if (must_write)
        put(&keywords, "target_session_attrs", "read-write");
    for (const PQconninfoOption *option = hosts->options; option->keyword != NULL; option++) {
        if (option->val != NULL && option->val[0] != '\0')
            put(&keywords, option->keyword, option->val);
    }
    if (hosts->count > 1) {
        item_copy(value_of(hosts, "host"), index, host);
        item_copy(value_of(hosts, "port"), index, port);
        put(&keywords, "host", host);
        put(&keywords, "port", port);
    }
    return PQconnectdbParams(keywords.names, keywords.values, 0);
}

/* Number 0: a standby, or a server that does not tell. False: it is silent, or lost. */
static bool
timeline_ask(PGconn *connection, struct pg_timeline *ret_timeline)
{
    static const char sql[] =
        "SELECT system_identifier, CASE WHEN pg_is_in_recovery() THEN '0'"
        " ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END FROM pg_control_system()";
    struct pg_limit limit = { .until_us = clock_steady_us() + PG_CONNECT_SECONDS_MAX * 1000000LL };
    bool was_sent = PQsetnonblocking(connection, 1) == 0 && PQsendQuery(connection, sql) == 1;
    PGresult *result = pg_wait_answer(connection, was_sent, limit);

    *ret_timeline = (struct pg_timeline){ 0 };
    if (result == NULL)
        return false;
    if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        *ret_timeline = (struct pg_timeline){
            .cluster = strtoull(PQgetvalue(result, 0, 0), NULL, 10),
            .number = (uint32_t)strtoul(PQgetvalue(result, 0, 1), NULL, 16),
        };
    PQclear(result);
    return true;
}

static bool
is_admitted(PGconn *connection, struct pg_timeline timeline)
{
    uint32_t known;

    if (timeline.number == 0 || pg_timeline_admit(timeline, &known))
        return true;
    log_error("event=OLD_PRIMARY host=%s port=%s timeline=%" PRIu32 " known=%" PRIu32
              " because=\"it was replaced by a newer primary and can be written all the same\""
              " next=\"stop it for good; it is left alone\"",
              PQhost(connection), PQport(connection), timeline.number, known);
    return false;
}

static void
look(const struct hosts *hosts, const char *application)
{
    for (size_t i = 0; i < hosts->count; i++) {
        PGconn *connection = host_connect(hosts, i, application, false);
        struct pg_timeline timeline;
        uint32_t known;

        if (PQstatus(connection) == CONNECTION_OK && timeline_ask(connection, &timeline) &&
            timeline.number != 0)
            pg_timeline_admit(timeline, &known);
        PQfinish(connection);
    }
}

void
pg_hosts_look(const char *conninfo, const char *application)
{
    char words[PG_WORDS_BYTES];
    struct hosts hosts;

    if (!hosts_open(conninfo, &hosts, words))
        return;
    if (hosts.count > 1)
        look(&hosts, application);
    PQconninfoFree(hosts.options);
}

PGconn *
pg_hosts_connect(const char *conninfo, const char *application, struct pg_timeline *ret_timeline,
                 char words[PG_WORDS_BYTES])
{
    PGconn *connection = NULL;
    struct hosts hosts;

    if (!hosts_open(conninfo, &hosts, words))
        return NULL;
    if (hosts.count > 1 && !pg_timeline_is_known())
        look(&hosts, application);
    for (size_t i = 0; connection == NULL && i < hosts.count; i++) {
        connection = host_connect(&hosts, i, application, true);
        snprintf(words, PG_WORDS_BYTES, "%s", PQerrorMessage(connection));
        if (PQstatus(connection) == CONNECTION_OK) {
            if (!timeline_ask(connection, ret_timeline))
                snprintf(words, PG_WORDS_BYTES, "%s", pg_wait_words(connection));
            else if (is_admitted(connection, *ret_timeline))
                break;
            else
                snprintf(words, PG_WORDS_BYTES, "it is an old primary");
        }
        PQfinish(connection);
        connection = NULL;
    }
    PQconninfoFree(hosts.options);
    return connection;
}
