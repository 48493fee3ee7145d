/* span_settings.h -- What the OTEL_* variables of the environment say about spans.
 *
 *     OTEL_SDK_DISABLED                         true: no spans
 *     OTEL_TRACES_EXPORTER                      otlp, none
 *     OTEL_EXPORTER_OTLP_ENDPOINT               "http://collector:4318"; /v1/traces is appended
 *     OTEL_EXPORTER_OTLP_TRACES_ENDPOINT        the whole URL, instead
 *     OTEL_EXPORTER_OTLP_[TRACES_]HEADERS       "authorization=Bearer%20x,tenant=shop"
 *     OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT       milliseconds for one request, 10000
 *     OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL      http/json
 *     OTEL_EXPORTER_OTLP_[TRACES_]COMPRESSION   gzip, none
 *     OTEL_EXPORTER_OTLP_[TRACES_]CERTIFICATE   a file of CAs
 *     OTEL_SERVICE_NAME                         instead of the program's name
 *     OTEL_RESOURCE_ATTRIBUTES                  "deployment.environment.name=prod,team=shop"
 *     OTEL_TRACES_SAMPLER, ..._ARG              sampler.h; parentbased_always_on
 *     OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE
 *     OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_EXPORT_TIMEOUT  2048, 512, 5000, 30000
 *
 * A variable that is empty is as good as none. One that is wrong is told to bad() by name and rule, and its
 * default counts: traces are no reason for a program not to start.
 *
 * Thread    Plain data.
 * Memory    All of it is in the struct.
 * Units     *_ms milliseconds.
 */
#ifndef MESH_OBSERVE_SPAN_SETTINGS_H
#define MESH_OBSERVE_SPAN_SETTINGS_H

#include "mesh/observe/sampler.h"

#include <stddef.h>

enum {
    SPAN_URL_BYTES = 512,
    SPAN_PAIR_BYTES = 512,
    SPAN_HEADERS_MAX = 16,
    SPAN_RESOURCE_MAX = 32,
    SPAN_QUEUE_MAX = 65536,
};

struct span_pair {
    char key[128], value[SPAN_PAIR_BYTES];
};

struct span_settings {
    char url[SPAN_URL_BYTES]; /* "": no spans */
    char ca_file[SPAN_URL_BYTES];
    bool has_gzip;
    int64_t timeout_ms;
    struct sampler sampler;
    int64_t queue_max, batch_max, delay_ms, export_ms;
    size_t header_count, resource_count;
    struct span_pair headers[SPAN_HEADERS_MAX];
    struct span_pair resource[SPAN_RESOURCE_MAX]; /* service.name is the first */
};

struct span_environment {
    void *owner;
    const char *(*get)(void *owner, const char *name); /* NULL: it is not set */
    /* The value of a variable that may hold a secret is "...". */
    void (*bad)(void *owner, const char *name, const char *value, const char *rule);
};

/* Does the environment ask for spans? It looks, and does nothing else. */
bool span_settings_are_wanted(const struct span_environment *environment);

/* url is "" where a wrong variable leaves nowhere to send spans to. */
void span_settings_read(const struct span_environment *environment, const char *program,
                        struct span_settings *ret_settings);

#endif
