/* bff_metrics.c -- What Prometheus reads: answers by route and status, how long they took, calls made.
 *
 * Text format 0.0.4. Counters are per process and start at 0.
 */
#include "bff/bff.h"
#include "mesh/base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTES_MAX = 16, STATUS_MAX = 600, PROVIDERS_MAX = 32, PROVIDER_BYTES_MAX = 32 };

/* Upper bounds of the durations, as semantic conventions for HTTP servers have them. */
/* clang-format off */
static const struct bucket {
    const char *text;
    int64_t us;
} buckets[] = {
    { "0.005", 5000 },   { "0.01", 10000 },   { "0.025", 25000 },   { "0.05", 50000 },
    { "0.075", 75000 },  { "0.1", 100000 },   { "0.25", 250000 },   { "0.5", 500000 },
    { "0.75", 750000 },  { "1", 1000000 },    { "2.5", 2500000 },   { "5", 5000000 },
    { "7.5", 7500000 },  { "10", 10000000 },  { "+Inf", INT64_MAX },
};
/* clang-format on */
enum { BUCKET_COUNT = sizeof buckets / sizeof *buckets };

/* Of one route; adding is all that request threads do. */
struct route_metrics {
    const struct http_route *route;
    atomic_uint_fast64_t answers[STATUS_MAX];
    atomic_uint_fast64_t took[BUCKET_COUNT], took_us;
};

/* Of one provider: how many webhooks came to what. */
static const char *const outcomes[] = { "STORED", "DUPLICATE", "IGNORED", "QUERY",
                                        "BAD_SIGNATURE" };
enum { OUTCOME_COUNT = sizeof outcomes / sizeof *outcomes };

struct provider_metrics {
    char name[PROVIDER_BYTES_MAX + 1];
    uint64_t webhooks[OUTCOME_COUNT];
};

struct metrics {
    struct route_metrics routes[ROUTES_MAX];
    size_t count;
    pthread_mutex_t lock; /* of what follows */
    struct provider_metrics providers[PROVIDERS_MAX];
    size_t provider_count;
};

static void
add_routes(struct metrics *metrics, const struct http_route *routes)
{
    for (; routes->method != NULL; routes++) {
        if (metrics->count == ROUTES_MAX)
            abort();
        metrics->routes[metrics->count++].route = routes;
    }
}

struct metrics *
metrics_new(void)
{
    struct metrics *metrics = memory_take(sizeof *metrics);

    pthread_mutex_init(&metrics->lock, NULL);
    add_routes(metrics, bff_routes);
    add_routes(metrics, bff_webhook_routes);
    return metrics;
}

struct metrics *
metrics_free(struct metrics *metrics)
{
    if (metrics != NULL)
        pthread_mutex_destroy(&metrics->lock);
    free(metrics);
    return NULL;
}

void
metrics_count(struct metrics *metrics, const struct http_route *route, int status, int64_t took_us)
{
    struct route_metrics *of_route = metrics->routes;
    size_t bucket = 0;

    while (of_route->route != route)
        of_route++;
    while (took_us > buckets[bucket].us)
        bucket++;
    atomic_fetch_add(&of_route->answers[status], 1);
    atomic_fetch_add(&of_route->took[bucket], 1);
    atomic_fetch_add(&of_route->took_us, (uint64_t)took_us);
}

/* NULL: there are too many. */
static struct provider_metrics *
provider_of(struct metrics *metrics, const char *name)
{
    struct provider_metrics *provider = metrics->providers;

    for (; provider < metrics->providers + metrics->provider_count; provider++) {
        if (strcmp(provider->name, name) == 0)
            return provider;
    }
    if (metrics->provider_count == PROVIDERS_MAX || strlen(name) > PROVIDER_BYTES_MAX)
        return NULL;
    metrics->provider_count++;
    strcpy(provider->name, name);
    return provider;
}

void
metrics_count_webhook(struct metrics *metrics, const char *provider_name, const char *outcome)
{
    struct provider_metrics *provider;
    size_t i = 0;

    while (i < OUTCOME_COUNT && strcmp(outcomes[i], outcome) != 0)
        i++;
    if (i == OUTCOME_COUNT)
        return;
    pthread_mutex_lock(&metrics->lock);
    provider = provider_of(metrics, provider_name);
    if (provider != NULL)
        provider->webhooks[i]++;
    pthread_mutex_unlock(&metrics->lock);
}

/* ---- as text ---- */

static void
page_head(FILE *page, const char *name, const char *type, const char *help)
{
    fprintf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
show_answers(FILE *page, const struct metrics *metrics)
{
    page_head(page, "bff_http_answers_total", "counter", "Requests answered by a handler.");
    for (size_t i = 0; i < metrics->count; i++) {
        const struct route_metrics *of_route = &metrics->routes[i];

        for (int status = 100; status < STATUS_MAX; status++) {
            uint64_t count = atomic_load(&of_route->answers[status]);

            if (count > 0)
                fprintf(page,
                        "bff_http_answers_total{method=\"%s\",route=\"%s\",status=\"%d\"} %" PRIu64
                        "\n",
                        of_route->route->method, of_route->route->path, status, count);
        }
    }
}

static void
show_durations(FILE *page, const struct metrics *metrics)
{
    page_head(page, "http_server_request_duration_seconds", "histogram",
              "From the handler's start to its answer.");
    for (size_t i = 0; i < metrics->count; i++) {
        const struct route_metrics *of_route = &metrics->routes[i];
        uint64_t sum = 0;

        for (int j = 0; j < BUCKET_COUNT; j++) {
            sum += atomic_load(&of_route->took[j]);
            fprintf(page,
                    "http_server_request_duration_seconds_bucket{method=\"%s\",route=\"%s\","
                    "le=\"%s\"} %" PRIu64 "\n",
                    of_route->route->method, of_route->route->path, buckets[j].text, sum);
        }
        fprintf(page,
                "http_server_request_duration_seconds_sum{method=\"%s\",route=\"%s\"} %" PRIu64
                ".%06" PRIu64 "\n",
                of_route->route->method, of_route->route->path,
                atomic_load(&of_route->took_us) / SECOND_US,
                atomic_load(&of_route->took_us) % SECOND_US);
        fprintf(page,
                "http_server_request_duration_seconds_count{method=\"%s\",route=\"%s\"} %" PRIu64
                "\n",
                of_route->route->method, of_route->route->path, sum);
    }
}

/* A label's value: the name is an operator's, of printable characters. */
static void
put_label(FILE *page, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', page);
        fputc(*text, page);
    }
}

static void
show_webhooks(FILE *page, struct metrics *metrics)
{
    page_head(page, "bff_webhooks_total", "counter",
              "Webhooks of known providers by what they came to; IGNORED: of a type that says "
              "nothing about a payment.");
    pthread_mutex_lock(&metrics->lock);
    for (size_t i = 0; i < metrics->provider_count; i++) {
        const struct provider_metrics *provider = &metrics->providers[i];

        for (size_t j = 0; j < OUTCOME_COUNT; j++) {
            fputs("bff_webhooks_total{provider=\"", page);
            put_label(page, provider->name);
            fprintf(page, "\",outcome=\"%s\"} %" PRIu64 "\n", outcomes[j], provider->webhooks[j]);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

static void
show_own_answers(FILE *page, const char *port, const struct http_server *server)
{
    for (int status = HTTP_OWN_STATUS_MIN; status < HTTP_OWN_STATUS_END; status++) {
        uint64_t count = http_server_count_own(server, status);

        if (count > 0)
            fprintf(page, "bff_http_own_answers_total{port=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                    port, status, count);
    }
}

static void
show_servers(FILE *page, const struct bff *bff)
{
    /* clang-format off */
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } rows[] = {
        { "bff_http_connections_total", "counter", "Connections accepted.",                 offsetof(struct http_server_counters, connections) },
        { "bff_http_requests_total",    "counter", "Requests read, also those refused.",    offsetof(struct http_server_counters, requests) },
        { "bff_http_refused_total",     "counter", "Refused before any handler, connections too.",  offsetof(struct http_server_counters, refused) },
        { "bff_http_timeouts_total",    "counter", "Deadlines that passed.",                offsetof(struct http_server_counters, timeouts) },
        { "bff_http_dropped_total",     "counter", "Answers whose client had gone.",        offsetof(struct http_server_counters, dropped) },
    };
    /* clang-format on */
    const struct {
        const char *name;
        const struct http_server *server;
    } servers[] = { { "api", bff->server }, { "webhooks", bff->webhooks } };
    struct http_server_counters counters[2];

    for (int i = 0; i < 2; i++)
        http_server_count(servers[i].server, &counters[i]);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        page_head(page, rows[row].name, rows[row].type, rows[row].help);
        for (int i = 0; i < 2; i++)
            fprintf(page, "%s{port=\"%s\"} %" PRIu64 "\n", rows[row].name, servers[i].name,
                    *(const uint64_t *)((const char *)&counters[i] + rows[row].offset));
    }
    page_head(page, "bff_http_own_answers_total", "counter",
              "Answers without a handler: refusals, and 504 for one that was late.");
    for (int i = 0; i < 2; i++)
        show_own_answers(page, servers[i].name, servers[i].server);
    page_head(page, "bff_http_connections_open", "gauge", "Connections now.");
    for (int i = 0; i < 2; i++)
        fprintf(page, "bff_http_connections_open{port=\"%s\"} %zu\n", servers[i].name,
                counters[i].open);
    page_head(page, "bff_http_bodies_bytes", "gauge", "Bodies of requests in memory now.");
    for (int i = 0; i < 2; i++)
        fprintf(page, "bff_http_bodies_bytes{port=\"%s\"} %zu\n", servers[i].name,
                counters[i].bodies_bytes);
}

static void
show_calls(FILE *page, const struct bff *bff)
{
    /* clang-format off */
    static const struct {
        const char *name, *help;
        size_t offset;
    } rows[] = {
        { "bff_rpc_calls_total",     "Unary calls sent.",                       offsetof(struct rpc_client_counters, calls) },
        { "bff_rpc_envelopes_total", "Envelopes sent.",                         offsetof(struct rpc_client_counters, envelopes) },
        { "bff_rpc_items_total",     "Calls sent in envelopes.",                offsetof(struct rpc_client_counters, items) },
        { "bff_rpc_retries_total",   "Calls sent again.",                       offsetof(struct rpc_client_counters, retries) },
        { "bff_rpc_failed_total",    "Requests whose last answer was not OK.",  offsetof(struct rpc_client_counters, failed) },
    };
    /* clang-format on */
    struct rpc_client_counters counters[BFF_SERVICE_COUNT];

    for (int i = 0; i < BFF_SERVICE_COUNT; i++)
        rpc_client_count(bff->clients[i], &counters[i]);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        page_head(page, rows[row].name, "counter", rows[row].help);
        for (int i = 0; i < BFF_SERVICE_COUNT; i++)
            fprintf(page, "%s{service=\"%s\"} %" PRIu64 "\n", rows[row].name, bff_service_names[i],
                    *(const uint64_t *)((const char *)&counters[i] + rows[row].offset));
    }
}

static void
show_clock(void *owner, const char *name, int64_t off_us, bool is_known)
{
    if (is_known)
        fprintf(owner, "bff_clock_off_seconds{clock=\"%s\"} %s%" PRId64 ".%03" PRId64 "\n", name,
                off_us < 0 ? "-" : "", (int64_t)llabs(off_us) / SECOND_US,
                (int64_t)llabs(off_us) % SECOND_US / 1000);
}

/* Of each clock that is compared, this program's too: those about which no two agree are left out. */
static void
show_clocks(FILE *page, const struct bff *bff)
{
    page_head(page, "bff_clock_off_seconds", "gauge",
              "How far a clock is from what most others say; 0: it is right.");
    clock_watch_report(bff->clock, show_clock, page);
    page_head(page, "bff_clock_fit", "gauge",
              "0: this machine's clock is wrong, and /readyz is 503 for it.");
    fprintf(page, "bff_clock_fit %d\n", clock_watch_is_fit(bff->clock) ? 1 : 0);
}

void
metrics_show(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);
    char *text;
    size_t bytes;
    FILE *page = open_memstream(&text, &bytes);

    if (page == NULL)
        abort();
    show_answers(page, job->bff->metrics);
    show_durations(page, job->bff->metrics);
    show_webhooks(page, job->bff->metrics);
    show_servers(page, job->bff);
    show_calls(page, job->bff);
    show_clocks(page, job->bff);
    if (fclose(page) != 0)
        abort();
    job_answer_bytes(job, 200, "text/plain; version=0.0.4; charset=utf-8", text, bytes, NULL);
    free(text);
}
