/* letter_send.c -- Dead letters to Kafka.
 *
 * A letter is claimed by an op first, so that of several replicas one sends it; a claim runs out when its sender
 * hangs. Letters go one by one: one that Kafka never takes must not keep back the others, and is given up.
 */
#include "alerts/letter_send.h"
#include "alerts/dead_letter.h"
#include "alerts/desk.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"
#include "mesh/kafka/producer.h"
#include "mesh/store/store_clock.h"
#include "mesh/store/sweep.h"

#include <stdlib.h>
#include <string.h>

enum {
    SEND_MS = 5000,
    ASK_MS = 3000,
    PARTITIONS = 12,  /* of a topic of dead letters that was not there */
    FAILURES_MAX = 2, /* one after the other, and not for what they are: Kafka is away */
    OWN_HEADERS = 4,
};

struct letter_due_row {
    struct letter_row letter; /* first; a part of it is filled */
    int64_t timestamp_ms;
    struct pg_bytes key, value, headers;
};

static const struct pg_column due_columns[] = {
    PG_COLUMN(struct letter_due_row, letter.id, PG_UUID),
    PG_COLUMN(struct letter_due_row, letter.topic, PG_TEXT),
    PG_COLUMN(struct letter_due_row, letter.part, PG_INT4),
    PG_COLUMN(struct letter_due_row, letter.place, PG_INT8),
    PG_COLUMN(struct letter_due_row, letter.reason, PG_TEXT),
    PG_COLUMN(struct letter_due_row, letter.due, PG_INT4),
    PG_COLUMN(struct letter_due_row, letter.resends_asked, PG_INT4),
    PG_COLUMN(struct letter_due_row, timestamp_ms, PG_INT8),
    PG_COLUMN(struct letter_due_row, key, PG_BYTES),
    PG_COLUMN(struct letter_due_row, value, PG_BYTES),
    PG_COLUMN(struct letter_due_row, headers, PG_BYTES),
    { 0 },
};

const struct pg_statement letters_due = {
    .name = "letters_due",
    .sql = "SELECT id, topic, part, place, reason, due, resends_asked, timestamp_ms, key, value,"
           " headers FROM dead_letter WHERE due <> 0 AND claimed_until_us <= mesh_now_us($1)"
           " ORDER BY claimed_until_us LIMIT 16",
    .in = store_clock_program,
    .is_single = true,
    .out = due_columns,
    .out_bytes = sizeof(struct letter_due_row),
};

const struct pg_statement letters_forget = {
    .name = "letters_forget",
    .sql = "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter"
           " WHERE id < mesh_uuid_floor(to_timestamp(mesh_now_us($1) / 1000000.0)"
           " - interval '45 days') AND due = 0 ORDER BY id" SWEEP_LIMIT ")",
    .in = store_clock_program,
    .is_single = true,
};
_Static_assert(ID_DAYS_KEPT == 45, "as in letters_forget");

/* ---- a letter as a record ---- */

/* Its own headers as Kafka's. A name ends at its first NUL. */
static const struct kafka_header *
further_headers(struct pg_bytes packed, struct arena *arena, size_t *ret_count)
{
    struct kafka_header *headers;
    struct dead_header header;
    size_t count = 0, at = 0;

    while (dead_headers_next(packed, &at, &header))
        count++;
    headers = arena_take(arena, (count + 1) * sizeof *headers);
    count = 0;
    for (at = 0; dead_headers_next(packed, &at, &header); count++) {
        headers[count].name = arena_copy(arena, (const char *)header.name.data, header.name.count);
        headers[count].value_bytes = header.value.count;
        headers[count].value = header.value.data == NULL ? NULL
                               : header.value.count == 0 ? ""
                                                         : (const char *)header.value.data;
    }
    *ret_count = count;
    return headers;
}

static const char *
bytes_text(struct pg_bytes bytes)
{
    return bytes.data == NULL ? NULL : bytes.count == 0 ? "" : (const char *)bytes.data;
}

static void
add_header(struct kafka_record *record, const char *name, const char *value)
{
    record->headers[record->header_count++] = (struct kafka_header){ .name = name, .value = value };
}

static struct kafka_record
record_of(const struct letter_due_row *row, bool is_resend, struct arena *arena)
{
    const struct letter_row *letter = &row->letter;
    struct kafka_record record = { .topic = letter->topic,
                                   .partition = letter->part,
                                   .key = bytes_text(row->key),
                                   .key_bytes = row->key.count,
                                   .value = bytes_text(row->value),
                                   .value_bytes = row->value.count,
                                   .timestamp_ms = row->timestamp_ms };

    record.further = further_headers(row->headers, arena, &record.further_count);
    if (is_resend) {
        add_header(&record, "dlq-resent",
                   uuid_print(letter->id, arena_take(arena, UUID_TEXT_BYTES + 1)));
        return record;
    }
    record.topic = arena_print(arena, "%s.dlq", letter->topic);
    record.partition = KAFKA_PARTITION_BY_KEY;
    add_header(&record, "dlq-reason", letter->reason);
    add_header(&record, "dlq-topic", letter->topic);
    add_header(&record, "dlq-partition", arena_print(arena, "%d", letter->part));
    add_header(&record, "dlq-offset", arena_print(arena, "%lld", (long long)letter->place));
    return record;
}

/* ---- sending ---- */

/* *ret_refusal: why Kafka will never take this record; or NULL. */
static enum error
send_one(struct alert_desk *desk, const struct kafka_record *record, bool is_resend,
         const char **ret_refusal)
{
    int32_t partitions;
    enum error error = ERR_OK;

    *ret_refusal = NULL;
    if (!is_resend) {
        error = kafka_partition_count(desk->producer, record->topic, ASK_MS, &partitions);
        if (error == ERR_NOT_FOUND)
            error = kafka_topic_make(desk->producer, record->topic, PARTITIONS, ASK_MS);
    }
    if (error != ERR_OK)
        return error;
    error = kafka_send(desk->producer, record, 1, SEND_MS);
    if (error != ERR_OK)
        *ret_refusal = kafka_producer_refusal(desk->producer);
    return error;
}

static void
try_one(struct alert_desk *desk, const struct letter_due_row *row, int32_t due,
        struct try_letter *tried, struct arena *arena)
{
    struct kafka_record record = record_of(row, due == LETTER_DUE_RESEND, arena);
    char id[UUID_TEXT_BYTES + 1];
    const char *refusal;

    if (send_one(desk, &record, due == LETTER_DUE_RESEND, &refusal) == ERR_OK) {
        tried->sent |= due;
        log_info("dead_letter=%s topic=%s event=%s", uuid_print(row->letter.id, id), record.topic,
                 due == LETTER_DUE_RESEND ? "DEAD_LETTER_RESENT" : "DEAD_LETTER_SENT");
        return;
    }
    tried->failed |= due;
    if (refusal == NULL)
        return;
    tried->refused |= due;
    tried->refusal = arena_print(arena, "%s: %s", record.topic, refusal);
}

static struct metric_series *
refused_series(struct metrics *metrics)
{
    /* clang-format off */
    static const struct metric_row row = { "sagamesh_alert_dead_letters_refused_total", METRIC_COUNTER, METRIC_NUMBER, "Dead letters given up, because Kafka refuses them for what they are.", { NULL } };
    /* clang-format on */

    return metrics_series(metrics, &row, NULL);
}

void
letter_meter(struct metrics *metrics)
{
    refused_series(metrics);
}

/* False: Kafka is to blame for what failed. */
static bool
send_letter(struct alert_desk *desk, const struct letter_due_row *row, struct arena *arena)
{
    bool is_refused = false;
    struct try_letter tried = { .op.id = uuid_v7(clock_now_us()),
                                .letter_id = row->letter.id,
                                .resends_asked = row->letter.resends_asked,
                                .refusal = "",
                                .ret_is_refused = &is_refused };
    char id[UUID_TEXT_BYTES + 1];

    for (int32_t due = LETTER_DUE_DLQ; due <= LETTER_DUE_RESEND; due <<= 1) {
        if ((row->letter.due & due) != 0)
            try_one(desk, row, due, &tried, arena);
    }
    crash_point("letter.after-send");
    if (batch_own_run(desk->batch, &try_letter_method, &tried, 1) == 0 && is_refused) {
        metric_add(refused_series(desk->metrics), 1);
        log_error("dead_letter=%s event=DEAD_LETTER_REFUSED because=\"%s\" next=\"sagactl dlq send"
                  " it, once Kafka takes it\"",
                  uuid_print(row->letter.id, id), tried.refusal);
    }
    return tried.failed == tried.refused;
}

/* Which of them this sender has now. */
static bool
claim(struct alert_desk *desk, const struct letter_due_row *row, struct arena *arena)
{
    bool is_claimed = false;
    struct claim_letter *claim = arena_take(arena, sizeof *claim);

    *claim = (struct claim_letter){ .op.id = uuid_v7(clock_now_us()),
                                    .letter_id = row->letter.id,
                                    .ret_is_claimed = &is_claimed };
    return batch_own_run(desk->batch, &claim_letter_method, claim, 1) == 0 && is_claimed;
}

enum error
letter_send(void *owner, struct pg *pg, struct arena *arena)
{
    struct alert_desk *desk = owner;
    int64_t now_us = clock_now_us();
    struct pg_answer answer;
    enum error error;
    int failures = 0;

    if (desk->brokers[0] == '\0')
        return ERR_OK;
    error = pg_ask(pg, &letters_due, &now_us, arena, &answer);
    if (error != ERR_OK || answer.count == 0)
        return error;
    if (desk->producer == NULL) {
        desk->producer = kafka_producer_new(desk->brokers, "dead-letters");
        kafka_producer_meter(desk->producer, desk->metrics);
    }
    /* One by one: those that are not come to stay due, before the ones that failed. */
    for (size_t i = 0; i < answer.count && failures < FAILURES_MAX; i++) {
        const struct letter_due_row *row = (const struct letter_due_row *)answer.rows + i;

        if (claim(desk, row, arena))
            failures = send_letter(desk, row, arena) ? 0 : failures + 1;
    }
    return ERR_OK;
}
