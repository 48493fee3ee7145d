/* The one tracer of the process, which span_open() makes before other threads start and span_close() frees
 * after they have ended; so it is read without a lock. Without a collector it stays NULL, and every call
 * here is a look at that pointer. */
#include "mesh/observe/span.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/random.h"
#include "mesh/base/uuid.h"
#include "mesh/observe/span_export.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tracer {
    struct span_settings settings;
    struct span_queue *queue;
    struct span_exporter *exporter;
    atomic_uint_fast64_t recorded, queue_full;
};

static struct tracer *tracer;

/* ---- open and close ---- */

static const char *
environment_get(void *owner, const char *name)
{
    (void)owner;
    return getenv(name);
}

static void
environment_bad(void *owner, const char *name, const char *value, const char *rule)
{
    (void)owner;
    log_warn("variable=%s value=\"%.100s\" event=VARIABLE_IGNORED because=\"it must be %s\" "
             "next=\"its default counts\"",
             name, value, rule);
}

/* What the environment says counts first. */
static void
resource_add(struct span_settings *settings, const char *key, const char *value)
{
    struct span_pair *pair = &settings->resource[settings->resource_count];

    for (size_t i = 0; i < settings->resource_count; i++) {
        if (strcmp(settings->resource[i].key, key) == 0)
            return;
    }
    if (settings->resource_count == SPAN_RESOURCE_MAX)
        return;
    snprintf(pair->key, sizeof pair->key, "%s", key);
    snprintf(pair->value, sizeof pair->value, "%s", value);
    settings->resource_count++;
}

void
span_open(const char *program, const char *version)
{
    const struct span_environment environment = { NULL, environment_get, environment_bad };
    char instance[UUID_TEXT_BYTES + 1];

    assert(tracer == NULL);
    if (!span_settings_are_wanted(&environment))
        return;
    tracer = memory_take(sizeof *tracer);
    span_settings_read(&environment, program, &tracer->settings);
    if (tracer->settings.url[0] == '\0') {
        free(tracer);
        tracer = NULL;
        return;
    }
    resource_add(&tracer->settings, "service.version", version);
    resource_add(&tracer->settings, "service.instance.id",
                 uuid_print(uuid_v7(clock_now_us()), instance)); /* tells replicas apart */
    tracer->queue = span_queue_open((size_t)tracer->settings.queue_max);
    tracer->exporter = span_exporter_open(&tracer->settings, tracer->queue);
    log_info("traces=on service=%s queue=%lld", tracer->settings.resource[0].value,
             (long long)tracer->settings.queue_max);
}

void
span_close(int drain_ms)
{
    struct tracer *closing = tracer;

    if (closing == NULL)
        return;
    span_exporter_close(closing->exporter, drain_ms);
    tracer = NULL;
    span_queue_close(closing->queue);
    free(closing);
}

void
span_count(struct span_counts *ret_counts)
{
    *ret_counts = (struct span_counts){ 0 };
    if (tracer == NULL)
        return;
    ret_counts->recorded = atomic_load(&tracer->recorded);
    ret_counts->queue_full = atomic_load(&tracer->queue_full);
    span_exporter_count(tracer->exporter, ret_counts);
}

/* ---- spans ---- */

/* A trace id that a stranger chose is not random: he could choose only such as are recorded. */
static bool
is_first_taken(const char *traceparent, bool is_ours)
{
    uint64_t draw;

    if (tracer == NULL)
        return false;
    if (is_ours)
        draw = trace_draw(traceparent);
    else
        random_bytes(&draw, sizeof draw);
    return sampler_takes(&tracer->settings.sampler, draw);
}

void
span_begin_first(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1])
{
    bool is_ours = traceparent[0] == '\0', is_taken;

    *span = (struct span){ 0 };
    if (is_ours)
        trace_start(traceparent);
    is_taken = is_first_taken(traceparent, is_ours);
    trace_set_sampled(traceparent, is_taken);
    if (!is_taken)
        return;
    span->start_us = clock_now_us();
    if (is_ours)
        return; /* the id that the trace began with is this span's */
    trace_span_id(traceparent, span->parent_id);
    trace_set_span_random(traceparent);
}

void
span_begin_shared(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1])
{
    assert(tracer != NULL);
    *span = (struct span){ .start_us = clock_now_us() };
    trace_start(traceparent);
    trace_set_sampled(traceparent, true);
}

bool
spans_are_on(void)
{
    return tracer != NULL;
}

/* Is the span to be recorded? If so it is begun, but for its id. */
static bool
begin(struct span *span, char *traceparent)
{
    span->start_us = 0;
    if (tracer == NULL || traceparent[0] == '\0')
        return false;
    if (!tracer->settings.sampler.is_parent_based)
        trace_set_sampled(traceparent,
                          sampler_takes(&tracer->settings.sampler, trace_draw(traceparent)));
    if (!trace_is_sampled(traceparent))
        return false;
    span->start_us = clock_now_us();
    trace_span_id(traceparent, span->parent_id);
    return true;
}

void
span_begin(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1])
{
    if (begin(span, traceparent))
        trace_set_span_random(traceparent);
}

void
span_begin_as(struct span *span, char traceparent[TRACE_PARENT_BYTES + 1], uint64_t id)
{
    if (begin(span, traceparent))
        trace_set_span(traceparent, id);
}

bool
span_is_on(const struct span *span)
{
    return span->start_us != 0;
}

void
span_end_at(const struct span *span, const char *traceparent, int64_t end_us,
            const struct span_note *note)
{
    if (tracer == NULL || !span_is_on(span))
        return;
    if (!span_queue_put(tracer->queue, span, traceparent, end_us, note)) {
        atomic_fetch_add_explicit(&tracer->queue_full, 1, memory_order_relaxed);
        return;
    }
    atomic_fetch_add_explicit(&tracer->recorded, 1, memory_order_relaxed);
    span_exporter_wake(tracer->exporter);
}

void
span_end(const struct span *span, const char *traceparent, const struct span_note *note)
{
    if (span_is_on(span))
        span_end_at(span, traceparent, clock_now_us(), note);
}
