/* One thread, one connection, one batch at a time:
 *
 *     wait until a batch is full, or delay_ms -> take it into one JSON text -> post, and again -> count
 *
 * It sleeps in curl_multi_poll() in all three waits (for spans, for the collector, for the next attempt), so
 * that close() wakes it from each of them. Those that put spans wake it only when a batch is full and it
 * sleeps for spans: one write to a pipe a batch. */
#include "mesh/observe/span_export.h"
#include "mesh/ask/ask.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/gzip.h"
#include "mesh/base/log.h"
#include "mesh/base/random.h"
#include "mesh/observe/span_json.h"

#include <curl/curl.h>

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_BYTES_MAX = 64 << 10, /* one that is longer counts as none */
    HEADERS_MAX = SPAN_HEADERS_MAX + 2,
};
#define BACKOFF_LEAST_US SECOND_US
#define BACKOFF_MOST_US (5 * SECOND_US)

struct span_exporter {
    const struct span_settings *settings;
    struct span_queue *queue;
    pthread_t thread;
    CURLM *multi;
    char *headers[HEADERS_MAX]; /* the last one is of a body that is packed */
    size_t header_count;
    atomic_bool sleeps; /* for spans: who fills a batch wakes it */
    atomic_bool is_stopping;
    atomic_int_fast64_t stop_until_us; /* steady; set before is_stopping */
    atomic_uint_fast64_t exported, failed, rejected;

    /* the thread's own */
    struct json_writer json;
    struct ask ask; /* the last attempt, and its answer */
};

/* What came of one request. */
struct attempt {
    CURLcode code;
    int status; /* 0: there was no answer */
    int64_t retry_after_us;
};

static bool
is_stopping(const struct span_exporter *exporter)
{
    return atomic_load(&exporter->is_stopping);
}

/* A stop leaves nothing more time than itself. */
static int64_t
until_or_stop(struct span_exporter *exporter, int64_t until_us)
{
    int64_t stop_us;

    if (!is_stopping(exporter))
        return until_us;
    stop_us = atomic_load(&exporter->stop_until_us);
    return stop_us < until_us ? stop_us : until_us;
}

/* Until then, or until something wakes the thread. */
static void
nap(struct span_exporter *exporter, int64_t until_us)
{
    int64_t left_us = until_us - clock_steady_us();

    if (left_us > 0)
        curl_multi_poll(exporter->multi, NULL, 0, (int)(left_us / 1000) + 1, NULL);
}

/* ---- one request ---- */

/* The transfer's end; CURLE_OPERATION_TIMEDOUT when the time was over first. */
static CURLcode
perform(struct span_exporter *exporter, int64_t until_us)
{
    CURLMsg *message;
    int running = 1, left;

    for (;;) {
        curl_multi_perform(exporter->multi, &running);
        message = curl_multi_info_read(exporter->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE)
            return message->data.result;
        if (clock_steady_us() >= until_or_stop(exporter, until_us))
            return CURLE_OPERATION_TIMEDOUT;
        nap(exporter, until_or_stop(exporter, until_us));
    }
}

static struct attempt
post(struct span_exporter *exporter, const char *body, size_t bytes, bool is_packed,
     int64_t until_us)
{
    const struct ask_request request = { .method = "POST",
                                         .url = exporter->settings->url,
                                         .headers = (const char *const *)exporter->headers,
                                         .header_count = exporter->header_count - !is_packed,
                                         .body = body,
                                         .body_bytes = bytes,
                                         .connect_ms = (long)exporter->settings->timeout_ms,
                                         .answer_ms = (long)exporter->settings->timeout_ms,
                                         .answer_bytes_max = ANSWER_BYTES_MAX };
    struct attempt attempt = { 0 };

    ask_end(&exporter->ask, exporter->multi); /* of the attempt before */
    ask_begin(&exporter->ask, &request, exporter);
    if (exporter->settings->ca_file[0] != '\0')
        curl_easy_setopt(exporter->ask.easy, CURLOPT_CAINFO, exporter->settings->ca_file);
    curl_multi_add_handle(exporter->multi, exporter->ask.easy);
    attempt.code = perform(exporter, until_us);
    attempt.status = ask_status(&exporter->ask, attempt.code);
    attempt.retry_after_us = ask_retry_after_us(&exporter->ask);
    return attempt;
}

/* ---- one batch ---- */

/* The statuses that OTLP allows to ask again, and no answer at all. */
static bool
is_worth_again(const struct attempt *attempt)
{
    return attempt->status == 0 || attempt->status == 429 || attempt->status == 502 ||
           attempt->status == 503 || attempt->status == 504;
}

/* Twice as long each time, and up to a fifth more or less, so that programs do not come back together. */
static int64_t
backoff_us(int number)
{
    int64_t wait_us = BACKOFF_LEAST_US << (number < 8 ? number : 8);
    uint32_t draw;

    if (wait_us > BACKOFF_MOST_US)
        wait_us = BACKOFF_MOST_US;
    random_bytes(&draw, sizeof draw);
    return wait_us * 4 / 5 + (int64_t)(draw % (uint32_t)(wait_us * 2 / 5));
}

static void
batch_lost(struct span_exporter *exporter, size_t count, const struct attempt *attempt)
{
    atomic_fetch_add(&exporter->failed, count);
    if (attempt->status != 0)
        log_warn(
            "event=SPANS_LOST spans=%zu status=%d because=\"the collector does not take them\"",
            count, attempt->status);
    else
        log_warn("event=SPANS_LOST spans=%zu because=\"%s\"", count,
                 curl_easy_strerror(attempt->code));
}

static void
batch_taken(struct span_exporter *exporter, size_t count)
{
    char why[200];
    int64_t rejected = 0;

    if (span_json_rejected(exporter->ask.body == NULL ? "" : exporter->ask.body,
                           exporter->ask.body_bytes, &rejected, why, sizeof why)) {
        rejected = rejected > (int64_t)count ? (int64_t)count : rejected;
        log_warn("event=SPANS_REJECTED spans=%" PRId64 " because=\"%s\"", rejected, why);
        atomic_fetch_add(&exporter->rejected, (uint64_t)rejected);
    }
    atomic_fetch_add(&exporter->exported, count - (size_t)rejected);
}

/* Until the collector has it, will not have it, or the time is over. */
static void
batch_send(struct span_exporter *exporter, size_t count, const char *body, size_t bytes,
           bool is_packed)
{
    int64_t until_us = clock_steady_us() + exporter->settings->export_ms * 1000;

    for (int number = 0;; number++) {
        struct attempt attempt = post(exporter, body, bytes, is_packed, until_us);
        int64_t again_us;

        if (attempt.status >= 200 && attempt.status < 300) {
            batch_taken(exporter, count);
            return;
        }
        again_us = clock_steady_us() +
                   (attempt.retry_after_us > 0 ? attempt.retry_after_us : backoff_us(number));
        if (!is_worth_again(&attempt) || again_us >= until_or_stop(exporter, until_us)) {
            batch_lost(exporter, count, &attempt);
            return;
        }
        while (clock_steady_us() < until_or_stop(exporter, again_us))
            nap(exporter, until_or_stop(exporter, again_us));
    }
}

/* The JSON of up to a batch of spans; 0: there are none. */
static size_t
batch_take(struct span_exporter *exporter)
{
    const struct span_copy *span = span_queue_first(exporter->queue);
    size_t count = 0;

    if (span == NULL)
        return 0;
    json_writer_reset(&exporter->json);
    span_json_open(&exporter->json, exporter->settings);
    while (span != NULL && count < (size_t)exporter->settings->batch_max) {
        span_json_put(&exporter->json, span);
        span_queue_took(exporter->queue);
        count++;
        span = span_queue_first(exporter->queue);
    }
    span_json_close(&exporter->json);
    return count;
}

static void
batch_export(struct span_exporter *exporter, size_t count)
{
    char *packed = NULL;
    size_t bytes = exporter->json.bytes;

    if (exporter->settings->has_gzip)
        packed = gzip_pack(exporter->json.text, exporter->json.bytes, &bytes);
    batch_send(exporter, count, packed == NULL ? exporter->json.text : packed, bytes,
               packed != NULL);
    ask_end(&exporter->ask, exporter->multi); /* it has the body */
    free(packed);
}

/* ---- the thread ---- */

static bool
has_batch(const struct span_exporter *exporter)
{
    return span_queue_count(exporter->queue) >= (size_t)exporter->settings->batch_max;
}

void
span_exporter_wake(struct span_exporter *exporter)
{
    if (has_batch(exporter) && atomic_exchange(&exporter->sleeps, false))
        curl_multi_wakeup(exporter->multi);
}

/* A batch, the delay, or the stop. It says that it sleeps before it looks for a batch: who fills one later
 * wakes it. */
static void
wait_for_spans(struct span_exporter *exporter)
{
    int64_t until_us = clock_steady_us() + exporter->settings->delay_ms * 1000;

    while (!is_stopping(exporter) && clock_steady_us() < until_us) {
        atomic_store(&exporter->sleeps, true);
        if (has_batch(exporter))
            break;
        nap(exporter, until_us);
    }
    atomic_store(&exporter->sleeps, false);
}

static bool
is_over(const struct span_exporter *exporter)
{
    return is_stopping(exporter) && clock_steady_us() >= atomic_load(&exporter->stop_until_us);
}

/* The time of the stop is over: spans that are left are lost, and counted. */
static void
rest_drop(struct span_exporter *exporter)
{
    size_t count = 0;

    for (; span_queue_first(exporter->queue) != NULL; count++)
        span_queue_took(exporter->queue);
    atomic_fetch_add(&exporter->failed, count);
    if (count > 0)
        log_warn("event=SPANS_LOST spans=%zu because=\"the program stops\"", count);
}

static void *
export_run(void *context)
{
    struct span_exporter *exporter = context;
    bool is_last = false;

    while (!is_last) {
        size_t count;

        wait_for_spans(exporter);
        is_last = is_stopping(exporter); /* no thread puts spans any more */
        do {
            count = batch_take(exporter);
            if (count > 0)
                batch_export(exporter, count);
        } while (count > 0 && !is_over(exporter) && (is_last || has_batch(exporter)));
    }
    rest_drop(exporter);
    return NULL;
}

static void
header_add(struct span_exporter *exporter, const char *name, const char *value)
{
    size_t bytes = strlen(name) + strlen(value) + sizeof ": ";
    char *line = memory_take(bytes);

    snprintf(line, bytes, "%s: %s", name, value);
    exporter->headers[exporter->header_count++] = line;
}

static void
headers_make(struct span_exporter *exporter)
{
    const struct span_settings *settings = exporter->settings;

    header_add(exporter, "Content-Type", "application/json");
    for (size_t i = 0; i < settings->header_count; i++)
        header_add(exporter, settings->headers[i].key, settings->headers[i].value);
    header_add(exporter, "Content-Encoding", "gzip");
}

struct span_exporter *
span_exporter_open(const struct span_settings *settings, struct span_queue *queue)
{
    struct span_exporter *exporter = memory_take(sizeof *exporter);

    exporter->settings = settings;
    exporter->queue = queue;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    exporter->multi = curl_multi_init();
    if (exporter->multi == NULL)
        die("event=CURL_FAILED because=\"curl has no memory\"");
    headers_make(exporter);
    thread_start(&exporter->thread, export_run, exporter);
    return exporter;
}

struct span_exporter *
span_exporter_close(struct span_exporter *exporter, int drain_ms)
{
    if (exporter == NULL)
        return NULL;
    atomic_store(&exporter->stop_until_us, clock_steady_us() + drain_ms * INT64_C(1000));
    atomic_store(&exporter->is_stopping, true);
    curl_multi_wakeup(exporter->multi);
    pthread_join(exporter->thread, NULL);
    curl_multi_cleanup(exporter->multi);
    for (size_t i = 0; i < exporter->header_count; i++)
        free(exporter->headers[i]);
    curl_global_cleanup();
    json_writer_free(&exporter->json);
    free(exporter);
    return NULL;
}

void
span_exporter_count(const struct span_exporter *exporter, struct span_counts *counts)
{
    counts->exported = atomic_load(&exporter->exported);
    counts->failed = atomic_load(&exporter->failed);
    counts->rejected = atomic_load(&exporter->rejected);
}
