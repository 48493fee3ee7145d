/* silence.c -- Looks at what shards hear of each source, and raises or resolves its alert. */
#include "alerts/silence.h"
#include "alerts/alert.h"
#include "alerts/alert_event.h"
#include "alerts/alert_meter.h"
#include "mesh/base/log.h"
#include "mesh/store/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- rules ---- */

enum error
silence_sources_read(const char *list, struct alert_desk *desk)
{
    desk->source_count = 0;
    while (*list != '\0') {
        struct desk_source *source = &desk->sources[desk->source_count];
        size_t bytes;

        list += strspn(list, " ");
        bytes = strcspn(list, ", ");
        if (bytes < 1 || bytes > DESK_SOURCE_BYTES_MAX || desk->source_count == DESK_SOURCES_MAX) {
            log_error(
                "flag=sources because=\"must be 1 to %d names of 1 to %d bytes, with commas\"",
                DESK_SOURCES_MAX, DESK_SOURCE_BYTES_MAX);
            return ERR_BAD_REQUEST;
        }
        *source = (struct desk_source){ 0 };
        memcpy(source->name, list, bytes);
        desk->source_count++;
        list += bytes + strspn(list + bytes, " ");
        list += *list == ',';
    }
    return ERR_OK;
}

/* Looks that lie far apart prove nothing: the program, or its database, stood still meanwhile. */
bool
silence_step(struct desk_source *source, bool is_silent, int64_t steady_us)
{
    bool was_looked_at = source->looked_us != 0 && steady_us - source->looked_us <= SILENCE_SEEN_US;

    source->looked_us = steady_us;
    if (!is_silent)
        source->silent_since_us = 0;
    else if (source->silent_since_us == 0 || !was_looked_at)
        source->silent_since_us = steady_us;
    return is_silent && steady_us - source->silent_since_us >= SILENCE_SEEN_US;
}

/* ---- the op ---- */

static void
change_touch(const void *op, struct batch_touch *touch)
{
    const struct change_silence *change = op;

    batch_touch_text(touch, ALERT_SILENCE, change->source);
    batch_touch_uuid(touch, ALERT_ALERT,
                     uuid_is_nil(change->alert_id) ? change->op.id : change->alert_id);
    for (size_t i = 0; i < change->notice_count; i++)
        batch_touch_text(touch, ALERT_NOTICE, change->notices[i].key);
}

/* The alert's news: version 1 raises it, 2 resolves it. Returns the payload. */
static const char *
tell(struct batch_rows *rows, const struct change_silence *change, struct uuid alert_id,
     int64_t occurred_us)
{
    bool is_resolved = !uuid_is_nil(change->alert_id);
    const struct silence silence = { .alert_id = alert_id,
                                     .source = change->source,
                                     .is_resolved = is_resolved,
                                     .heard_us = change->heard_us,
                                     .allowed_us = change->silent_us,
                                     .occurred_us = occurred_us,
                                     .detected_us = change->op.now_us };
    struct event event = { .aggregatetype = SILENCE_AGGREGATE,
                           .aggregateid = alert_id,
                           .version = is_resolved ? 2 : 1,
                           .type = is_resolved ? SILENCE_RESOLVED : SILENCE_RAISED,
                           .time_us = change->op.now_us };
    struct json_writer writer = { 0 };
    const char *payload;

    silence_event_write(&silence, &writer);
    payload = batch_keep(rows, writer.text);
    json_writer_free(&writer);
    event.payload = payload;
    batch_event(rows, &event);
    return payload;
}

static void
add_notices(struct batch_rows *rows, const struct change_silence *change)
{
    for (size_t i = 0; i < change->notice_count; i++) {
        const struct notice_row *row = &change->notices[i];
        struct notice_row *notice;

        if (batch_find_text(rows, ALERT_NOTICE, row->key) != NULL)
            continue;
        notice = batch_add_text(rows, ALERT_NOTICE, row->key);
        notice->alert_id = row->alert_id;
        notice->state = batch_keep(rows, row->state);
        notice->destination = batch_keep(rows, row->destination);
        notice->made_us = change->op.now_us;
    }
}

static void
raise_it(struct batch_rows *rows, const struct change_silence *change, struct silence_row *silence)
{
    const struct rule *rule = &rules[RULE_RELAY_SILENT];
    int64_t occurred_us = change->heard_us != 0 ? change->heard_us : change->op.now_us;
    struct alert_row *alert = batch_add_uuid(rows, ALERT_ALERT, change->op.id);
    char id[UUID_TEXT_BYTES + 1];

    *change->ret_is_changed = true;
    silence->alert_id = change->op.id;
    alert->raise.rule = rule->name;
    alert->raise.severity = rule->severity;
    alert->raise.subject = batch_keep(rows, change->source);
    alert->raise.payload = tell(rows, change, change->op.id, occurred_us);
    alert->raise.occurred_us = occurred_us;
    alert->raise.detected_us = change->op.now_us;
    alert->resolved_payload = alert->acknowledged_by = alert->acknowledged_reason = "";
    add_notices(rows, change);
    log_error("alert=%s event=RAISED rule=%s source=%s because=\"%s\"",
              uuid_print(change->op.id, id), rule->name, change->source, rule->because);
}

static void
resolve_it(struct batch_rows *rows, const struct change_silence *change,
           struct silence_row *silence)
{
    struct alert_row *alert = batch_find_uuid(rows, ALERT_ALERT, change->alert_id);
    char id[UUID_TEXT_BYTES + 1];

    silence->alert_id = (struct uuid){ 0 };
    batch_changed(rows, silence);
    if (alert == NULL || alert->resolved_us != 0)
        return;
    *change->ret_is_changed = true;
    alert->resolved_payload = tell(rows, change, change->alert_id, alert->raise.occurred_us);
    alert->resolved_us = change->op.now_us;
    batch_changed(rows, alert);
    add_notices(rows, change);
    log_info("alert=%s event=RESOLVED rule=%s source=%s", uuid_print(change->alert_id, id),
             alert->raise.rule, change->source);
}

/* Another replica may have been first: then the row is not as this one saw it, and nothing is left to do. */
static void
change_decide(void *op, struct batch_rows *rows)
{
    const struct change_silence *change = op;
    struct silence_row *silence = batch_find_text(rows, ALERT_SILENCE, change->source);

    *change->ret_is_changed = false; /* also where the batch runs again */
    if (!uuid_equal(silence == NULL ? (struct uuid){ 0 } : silence->alert_id, change->alert_id))
        return;
    if (!uuid_is_nil(change->alert_id)) {
        resolve_it(rows, change, silence);
        return;
    }
    if (silence == NULL)
        silence = batch_add_text(rows, ALERT_SILENCE, change->source);
    else
        batch_changed(rows, silence);
    raise_it(rows, change, silence);
}

static const struct method change_silence_method = {
    .name = "ChangeSilence",
    .op_bytes = sizeof(struct change_silence),
    .touch = change_touch,
    .decide = change_decide,
};

/* ---- the look ---- */

struct silence_ask {
    const char *source;
    int64_t program_us, unread_us;
};

struct silence_found {
    const char *source;
    struct uuid alert_id; /* that is open; or nil */
    bool is_configured;
    int64_t shards;
    bool is_silent;
    int64_t heard_us;
};

static const struct pg_column ask_columns[] = {
    PG_COLUMN(struct silence_ask, source, PG_TEXT),
    PG_COLUMN(struct silence_ask, program_us, PG_INT8),
    PG_COLUMN(struct silence_ask, unread_us, PG_INT8),
    { 0 },
};
static const struct pg_column found_columns[] = {
    PG_COLUMN(struct silence_found, source, PG_TEXT),
    PG_COLUMN(struct silence_found, alert_id, PG_UUID),
    PG_COLUMN(struct silence_found, is_configured, PG_BOOL),
    PG_COLUMN(struct silence_found, shards, PG_INT8),
    PG_COLUMN(struct silence_found, is_silent, PG_BOOL),
    PG_COLUMN(struct silence_found, heard_us, PG_INT8),
    { 0 },
};

/* One whose alert is open and which is configured no more is found too: no shard waits for it, so its alert ends. */
const struct pg_statement silences_find = {
    .name = "silences_find",
    .sql =
        "WITH wanted AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::bigint[],"
        " $3::bigint[]) AS u(source, program_us, unread_us)),"
        " named AS (SELECT source FROM wanted UNION SELECT source FROM silence)"
        " SELECT n.source,"
        " coalesce(s.alert_id, '00000000-0000-0000-0000-000000000000'), w.source IS NOT NULL,"
        " count(a.shard),"
        " coalesce(bool_or(a.is_silent OR a.checked_us < mesh_now_us(w.program_us) - w.unread_us),"
        " false), coalesce(min(a.heard_us), 0)"
        " FROM named n LEFT JOIN wanted w ON w.source = n.source"
        " LEFT JOIN silence s ON s.source = n.source"
        " LEFT JOIN alert_source a ON a.source = w.source"
        " GROUP BY n.source, s.alert_id, w.source, w.program_us, w.unread_us",
    .in = ask_columns,
    .out = found_columns,
    .out_bytes = sizeof(struct silence_found),
};

static struct desk_source *
source_find(struct alert_desk *desk, const char *name)
{
    for (size_t i = 0; i < desk->source_count; i++) {
        if (strcmp(desk->sources[i].name, name) == 0)
            return &desk->sources[i];
    }
    return NULL;
}

/* Is the source's alert to change? */
static bool
is_due(struct alert_desk *desk, const struct silence_found *found)
{
    struct desk_source *source = source_find(desk, found->source);
    int64_t steady_us = clock_steady_us();
    bool is_silent = found->is_silent, is_open = !uuid_is_nil(found->alert_id);

    if (source == NULL)
        return is_open;
    if (found->shards == 0) /* no shard was ever there; the first ones need a moment */
        is_silent = steady_us - desk->began_us > desk->silent_us + SILENCE_UNREAD_US;
    return silence_step(source, is_silent, steady_us) ? !is_open : is_open && !is_silent;
}

static struct change_silence
change_of(const struct alert_desk *desk, const struct silence_found *found, struct arena *arena)
{
    struct change_silence change = { .op.id = uuid_v7(clock_now_us()),
                                     .source = found->source,
                                     .alert_id = found->alert_id,
                                     .heard_us = found->heard_us,
                                     .silent_us = desk->silent_us };
    bool is_raised = uuid_is_nil(found->alert_id);
    struct notice_row *rows;

    change.notice_count =
        notify_rows(desk->notify, is_raised ? change.op.id : found->alert_id,
                    rules[RULE_RELAY_SILENT].severity, is_raised, 0, arena, &rows);
    change.notices = rows;
    return change;
}

static struct metric_series *
changes_of(struct metrics *metrics, bool is_raised)
{
    return metrics_series(metrics, is_raised ? &alert_raised_row : &alert_resolved_row,
                          (const char *const[]){ rules[RULE_RELAY_SILENT].name });
}

void
silence_meter(struct metrics *metrics)
{
    changes_of(metrics, true);
    changes_of(metrics, false);
}

static void
change_run(const struct alert_desk *desk, const struct silence_found *found, struct arena *arena)
{
    struct change_silence change = change_of(desk, found, arena);
    bool is_changed = false;

    change.ret_is_changed = &is_changed;
    if (batch_own_run(desk->batch, &change_silence_method, &change, 1) == 0 && is_changed)
        metric_add(changes_of(desk->metrics, uuid_is_nil(found->alert_id)), 1);
}

enum error
silence_look(void *owner, struct pg *pg, struct arena *arena)
{
    struct alert_desk *desk = owner;
    struct silence_ask *asks = arena_take(arena, (desk->source_count + 1) * sizeof *asks);
    const void **rows = arena_take(arena, (desk->source_count + 1) * sizeof *rows);
    struct pg_step step = { .statement = &silences_find,
                            .rows = rows,
                            .count = desk->source_count };
    const struct silence_found *found;
    enum error error;

    for (size_t i = 0; i < desk->source_count; i++) {
        asks[i] = (struct silence_ask){ desk->sources[i].name, clock_now_us(),
                                        desk->silent_us + SILENCE_UNREAD_US };
        rows[i] = &asks[i];
    }
    error = pg_round(pg, false, &step, 1, arena);
    found = step.ret_rows;
    for (size_t i = 0; error == ERR_OK && i < step.ret_count; i++) {
        if (is_due(desk, &found[i]))
            change_run(desk, &found[i], arena);
    }
    return error;
}
