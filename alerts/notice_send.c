/* notice_send.c -- Notices over HTTP.
 *
 *   find due -> lease them, by ops -> ask all destinations at once -> end the leases, by ops
 *
 * A sender that ends in between leaves a lease, which runs out; another one sends then. No secret is in the log: a
 * URL may be one, so a destination goes by its name.
 */
#include "alerts/notice_send.h"
#include "alerts/desk.h"
#include "alerts/notice.h"
#include "alerts/notify_text.h"
#include "mesh/ask/ask.h"
#include "mesh/base/crash.h"
#include "mesh/observe/metrics.h"
#include "mesh/store/store_clock.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(NOTICE_LEASE_US > 4 * NOTICE_ANSWER_MS * INT64_C(1000),
               "a lease outlives a request");

enum { ANSWER_BYTES_MAX = 64 << 10, STATUS_GONE = 410, POLL_MS = 200 };

static const struct pg_column due_columns[] = {
    PG_COLUMN(struct notice_due, key, PG_TEXT),
    PG_COLUMN(struct notice_due, alert_id, PG_UUID),
    PG_COLUMN(struct notice_due, state, PG_TEXT),
    PG_COLUMN(struct notice_due, destination, PG_TEXT),
    PG_COLUMN(struct notice_due, made_us, PG_INT8),
    PG_COLUMN(struct notice_due, rule, PG_TEXT),
    PG_COLUMN(struct notice_due, severity, PG_TEXT),
    PG_COLUMN(struct notice_due, subject, PG_TEXT),
    PG_COLUMN(struct notice_due, payload, PG_TEXT),
    PG_COLUMN(struct notice_due, resolved_payload, PG_TEXT),
    { 0 },
};

const struct pg_statement notices_due = {
    .name = "notices_due",
    .sql = "SELECT n.key, n.alert_id, n.state, n.destination, n.made_us, a.rule, a.severity,"
           " a.subject, a.payload, a.resolved_payload"
           " FROM (SELECT * FROM notice WHERE next_us <> 0 AND next_us <= mesh_now_us($1)"
           " ORDER BY next_us LIMIT 16) AS n JOIN alert a ON a.id = n.alert_id",
    .in = store_clock_program,
    .is_single = true,
    .out = due_columns,
    .out_bytes = sizeof(struct notice_due),
};
_Static_assert(NOTICES_EACH == 16, "as in notices_due");

/* A notice of a run. */
struct sending {
    const struct notice_due *due;
    const struct notify_destination *destination; /* NULL: it is configured no more */
    int32_t lease;                                /* 0: another replica has it */
    struct ask ask;
    bool is_asking;
    struct end_notice end;
    enum notice_outcome outcome;
};

/* ---- leases ---- */

static void
lease_all(struct alert_desk *desk, struct sending *sendings, size_t count, struct arena *arena)
{
    struct lease_notice *leases = arena_take(arena, count * sizeof *leases);

    for (size_t i = 0; i < count; i++)
        leases[i] = (struct lease_notice){ .op.id = uuid_v7(clock_now_us()),
                                           .key = sendings[i].due->key,
                                           .ret_lease = &sendings[i].lease };
    /* What a failed batch had decided did not happen: those leases are none. */
    if (batch_own_run(desk->batch, &lease_notice_method, leases, count) > 0) {
        for (size_t i = 0; i < count; i++)
            sendings[i].lease = 0;
    }
}

/* clang-format off */
static const struct metric_row notices_row = { "sagamesh_alert_notices_total", METRIC_COUNTER, METRIC_NUMBER, "What came of attempts to tell people", { "destination", "outcome" } };
/* clang-format on */

static struct metric_series *
series_of(struct metrics *metrics, const char *destination, enum notice_outcome outcome)
{
    static const char *const outcomes[] = {
        [NOTICE_SENT] = "sent", [NOTICE_RETRIED] = "retried", [NOTICE_GIVEN_UP] = "given_up"
    };

    return metrics_series(metrics, &notices_row,
                          (const char *const[]){ destination, outcomes[outcome] });
}

void
notice_meter(const struct alert_desk *desk)
{
    metrics_declare(desk->metrics, &notices_row);
    for (size_t i = 0; i < desk->notify->count; i++) {
        for (enum notice_outcome outcome = NOTICE_SENT; outcome < NOTICE_OUTCOMES; outcome++)
            series_of(desk->metrics, desk->notify->destinations[i].name, outcome);
    }
}

static void
count_all(const struct alert_desk *desk, const struct sending *sendings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sendings[i].outcome != NOTICE_NOTHING)
            metric_add(series_of(desk->metrics, sendings[i].due->destination, sendings[i].outcome),
                       1);
    }
}

static void
end_all(struct alert_desk *desk, struct sending *sendings, size_t count, struct arena *arena)
{
    struct end_notice *ends = arena_take(arena, count * sizeof *ends);
    size_t end_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (sendings[i].lease == 0)
            continue;
        sendings[i].end.ret_outcome = &sendings[i].outcome;
        ends[end_count++] = sendings[i].end;
    }
    if (end_count > 0 && batch_own_run(desk->batch, &end_notice_method, ends, end_count) == 0)
        count_all(desk, sendings, count);
}

/* ---- requests ---- */

static void
begin(struct sending *sending, CURLM *multi, struct arena *arena)
{
    struct notify_message message;
    struct ask_request request = { .method = "POST",
                                   .headers = message.headers,
                                   .connect_ms = NOTICE_CONNECT_MS,
                                   .answer_ms = NOTICE_ANSWER_MS,
                                   .answer_bytes_max = ANSWER_BYTES_MAX };

    sending->end = (struct end_notice){ .op.id = uuid_v7(clock_now_us()),
                                        .key = sending->due->key,
                                        .lease = sending->lease,
                                        .trouble = "" };
    if (sending->destination == NULL) {
        sending->end.is_final = true;
        sending->end.trouble = "its destination is configured no more";
        return;
    }
    if (!notify_message_make(sending->destination, sending->due, clock_now_us(), arena, &message)) {
        sending->end.trouble = "it could not be signed";
        return;
    }
    request.url = sending->destination->url;
    request.header_count = message.header_count;
    request.body = message.body;
    ask_begin(&sending->ask, &request, sending);
    curl_multi_add_handle(multi, sending->ask.easy);
    sending->is_asking = true;
}

/* curl's words name no URL. */
static void
ended(struct sending *sending, CURLcode code, CURLM *multi, struct arena *arena)
{
    struct end_notice *end = &sending->end;
    int status = ask_status(&sending->ask, code);

    end->is_sent = status >= 200 && status <= 299;
    end->is_final = status == STATUS_GONE;
    end->retry_after_us = ask_retry_after_us(&sending->ask);
    if (!end->is_sent)
        end->trouble = status > 0 ? arena_print(arena, "it answered with status %d", status)
                                  : curl_easy_strerror(code);
    ask_end(&sending->ask, multi);
    sending->is_asking = false;
}

/* Until all have ended, which their time limits see to. */
static void
ask_all(struct sending *sendings, size_t count, struct arena *arena)
{
    CURLM *multi = curl_multi_init();
    CURLMsg *message;
    int running = 1, left;

    if (multi == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (sendings[i].lease != 0)
            begin(&sendings[i], multi, arena);
    }
    while (running > 0) {
        curl_multi_perform(multi, &running);
        while ((message = curl_multi_info_read(multi, &left)) != NULL) {
            struct sending *sending = NULL;

            if (message->msg != CURLMSG_DONE)
                continue;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&sending);
            ended(sending, message->data.result, multi, arena);
        }
        if (running > 0)
            curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
    }
    curl_multi_cleanup(multi);
}

enum error
notice_send(void *owner, struct pg *pg, struct arena *arena)
{
    struct alert_desk *desk = owner;
    int64_t now_us = clock_now_us();
    struct pg_answer answer;
    enum error error = pg_ask(pg, &notices_due, &now_us, arena, &answer);
    const struct notice_due *due = answer.rows;
    struct sending sendings[NOTICES_EACH] = { 0 };

    if (error != ERR_OK || answer.count == 0)
        return error;
    for (size_t i = 0; i < answer.count; i++) {
        sendings[i].due = &due[i];
        sendings[i].destination = notify_find(desk->notify, due[i].destination);
    }
    lease_all(desk, sendings, answer.count, arena);
    crash_point("notice.leased");
    ask_all(sendings, answer.count, arena);
    crash_point("notice.after-ask");
    end_all(desk, sendings, answer.count, arena);
    return ERR_OK;
}
