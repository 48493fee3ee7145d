/* The OTEL_* variables: what each sets, and that a wrong one is named and leaves its default. */
#include "mesh/observe/span_settings.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define URL "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"

enum { VARIABLES_MAX = 5 };

/* clang-format off */
static const struct {
    const char *what;
    const char *variables[VARIABLES_MAX];
    const char *bad; /* the variable that must be named; NULL: none */
    const char *says; /* of the settings, as print() writes them: a part */
} rows[] = {
    { "nothing",                 { NULL }, NULL, "url= " },
    { "an endpoint",             { URL }, NULL, "url=http://c:4318/v1/traces " },
    { "one with a slash",        { "OTEL_EXPORTER_OTLP_ENDPOINT=https://c/a/" }, NULL, "url=https://c/a/v1/traces " },
    { "one of traces",           { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:1/x" }, NULL, "url=http://t:1/x " },
    { "that of traces counts",   { URL, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:1/" }, NULL, "url=http://t:1/ " },
    { "an empty one is none",    { "OTEL_EXPORTER_OTLP_ENDPOINT=" }, NULL, "url= " },
    { "no URL",                  { "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318" }, "OTEL_EXPORTER_OTLP_ENDPOINT", "url= " },
    { "no host",                 { "OTEL_EXPORTER_OTLP_ENDPOINT=http:///x" }, "OTEL_EXPORTER_OTLP_ENDPOINT", "url= " },
    { "a space",                 { "OTEL_EXPORTER_OTLP_ENDPOINT=http://a b" }, "OTEL_EXPORTER_OTLP_ENDPOINT", "url= " },
    { "disabled",                { URL, "OTEL_SDK_DISABLED=true" }, NULL, "url= " },
    { "disabled, loudly",        { URL, "OTEL_SDK_DISABLED=TRUE" }, NULL, "url= " },
    { "not disabled",            { URL, "OTEL_SDK_DISABLED=false" }, NULL, "url=http://c" },
    { "disabled or not?",        { URL, "OTEL_SDK_DISABLED=1" }, "OTEL_SDK_DISABLED", "url=http://c" },
    { "no exporter",             { URL, "OTEL_TRACES_EXPORTER=none" }, NULL, "url= " },
    { "otlp",                    { URL, "OTEL_TRACES_EXPORTER=otlp" }, NULL, "url=http://c" },
    { "another exporter",        { URL, "OTEL_TRACES_EXPORTER=zipkin" }, "OTEL_TRACES_EXPORTER", "url=http://c" },
    { "defaults",                { URL }, NULL, "gzip=0 timeout=10000 queue=2048 batch=512 delay=5000 export=30000 " },
    { "defaults, the sampler",   { URL }, NULL, "parent=1 below=9223372036854775808 " },
    { "json",                    { URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json" }, NULL, "url=http://c" },
    { "protobuf",                { URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" }, "OTEL_EXPORTER_OTLP_PROTOCOL", "url=http://c" },
    { "gRPC for traces",         { URL, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc" }, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "url=http://c" },
    { "headers",                 { URL, "OTEL_EXPORTER_OTLP_HEADERS=a=b, tenant = my%20shop ,key=x=y" }, NULL, "headers=[a:b][tenant:my shop][key:x=y] " },
    { "headers of traces",       { URL, "OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=c=d" }, NULL, "headers=[c:d] " },
    { "a header without value",  { URL, "OTEL_EXPORTER_OTLP_HEADERS=a=b,secret" }, "OTEL_EXPORTER_OTLP_HEADERS", "headers= " },
    { "a header with a line",    { URL, "OTEL_EXPORTER_OTLP_HEADERS=a=b%0d%0aEvil: 1" }, "OTEL_EXPORTER_OTLP_HEADERS", "headers= " },
    { "half a code",             { URL, "OTEL_EXPORTER_OTLP_HEADERS=a=%2" }, "OTEL_EXPORTER_OTLP_HEADERS", "headers= " },
    { "a timeout",               { URL, "OTEL_EXPORTER_OTLP_TIMEOUT=250" }, NULL, "timeout=250 " },
    { "a timeout of traces",     { URL, "OTEL_EXPORTER_OTLP_TIMEOUT=250", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=9" }, NULL, "timeout=9 " },
    { "a timeout with a unit",   { URL, "OTEL_EXPORTER_OTLP_TIMEOUT=10s" }, "OTEL_EXPORTER_OTLP_TIMEOUT", "timeout=10000 " },
    { "no time at all",          { URL, "OTEL_EXPORTER_OTLP_TIMEOUT=0" }, "OTEL_EXPORTER_OTLP_TIMEOUT", "timeout=10000 " },
    { "gzip",                    { URL, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip" }, NULL, "gzip=1 " },
    { "another coding",          { URL, "OTEL_EXPORTER_OTLP_COMPRESSION=zstd" }, "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip=0 " },
    { "a CA",                    { URL, "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca.pem" }, NULL, "ca=/ca.pem " },
    { "a queue",                 { URL, "OTEL_BSP_MAX_QUEUE_SIZE=4096" }, NULL, "queue=4096 batch=512 " },
    { "a small queue",           { URL, "OTEL_BSP_MAX_QUEUE_SIZE=10" }, NULL, "queue=10 batch=10 " },
    { "a batch beyond it",       { URL, "OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=11" }, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "queue=10 batch=10 " },
    { "a queue without bounds",  { URL, "OTEL_BSP_MAX_QUEUE_SIZE=65537" }, "OTEL_BSP_MAX_QUEUE_SIZE", "queue=2048 " },
    { "delays",                  { URL, "OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_BSP_EXPORT_TIMEOUT=200" }, NULL, "delay=100 export=200 " },
    { "a negative delay",        { URL, "OTEL_BSP_SCHEDULE_DELAY=-1" }, "OTEL_BSP_SCHEDULE_DELAY", "delay=5000 " },
    { "a sampler",               { URL, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5" }, NULL, "parent=0 below=4611686018427387904 " },
    { "a ratio it has not",      { URL, "OTEL_TRACES_SAMPLER=always_on", "OTEL_TRACES_SAMPLER_ARG=0.5" }, NULL, "parent=0 below=9223372036854775808 " },
    { "an unknown sampler",      { URL, "OTEL_TRACES_SAMPLER=xray" }, "OTEL_TRACES_SAMPLER", "parent=1 below=9223372036854775808 " },
    { "a ratio above 1",         { URL, "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=2" }, "OTEL_TRACES_SAMPLER_ARG", "parent=0 below=9223372036854775808 " },
    { "the program's name",      { URL }, NULL, "resource=[service.name:order-svc]." },
    { "another name",            { URL, "OTEL_SERVICE_NAME=orders" }, NULL, "resource=[service.name:orders]." },
    { "attributes",              { URL, "OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,team=a%2Cb" }, NULL, "resource=[service.name:order-svc][service.namespace:shop][team:a,b]." },
    { "a name among them",       { URL, "OTEL_RESOURCE_ATTRIBUTES=service.name=x,team=y" }, NULL, "resource=[service.name:x][team:y]." },
    { "two names",               { URL, "OTEL_RESOURCE_ATTRIBUTES=service.name=x", "OTEL_SERVICE_NAME=y" }, NULL, "resource=[service.name:y]." },
    { "attributes cut short",    { URL, "OTEL_RESOURCE_ATTRIBUTES=team" }, "OTEL_RESOURCE_ATTRIBUTES", "resource=[service.name:order-svc]." },
    { "attributes, not UTF-8",   { URL, "OTEL_RESOURCE_ATTRIBUTES=team=%ff" }, "OTEL_RESOURCE_ATTRIBUTES", "resource=[service.name:order-svc]." },
};
/* clang-format on */

struct seen {
    const char *const *variables;
    int bad_count;
    char bad_name[64], bad_value[256];
};

static const char *
get(void *owner, const char *name)
{
    const struct seen *seen = owner;
    size_t bytes = strlen(name);

    for (int i = 0; i < VARIABLES_MAX && seen->variables[i] != NULL; i++) {
        if (strncmp(seen->variables[i], name, bytes) == 0 && seen->variables[i][bytes] == '=')
            return seen->variables[i] + bytes + 1;
    }
    return NULL;
}

static void
bad(void *owner, const char *name, const char *value, const char *rule)
{
    struct seen *seen = owner;

    ck_assert(rule[0] != '\0');
    seen->bad_count++;
    snprintf(seen->bad_name, sizeof seen->bad_name, "%s", name);
    snprintf(seen->bad_value, sizeof seen->bad_value, "%s", value);
}

static void
print_pairs(FILE *file, const char *name, const struct span_pair *pairs, size_t count,
            const char *end)
{
    fprintf(file, "%s=", name);
    for (size_t i = 0; i < count; i++)
        fprintf(file, "[%s:%s]", pairs[i].key, pairs[i].value);
    fprintf(file, "%s", end);
}

static void
print(const struct span_settings *settings, char *text, size_t size)
{
    FILE *file = fmemopen(text, size, "w");

    fprintf(file, "url=%s ca=%s gzip=%d timeout=%d queue=%d batch=%d delay=%d export=%d ",
            settings->url, settings->ca_file, settings->has_gzip, (int)settings->timeout_ms,
            (int)settings->queue_max, (int)settings->batch_max, (int)settings->delay_ms,
            (int)settings->export_ms);
    fprintf(file, "parent=%d below=%llu ", settings->sampler.is_parent_based,
            (unsigned long long)settings->sampler.below);
    print_pairs(file, "headers", settings->headers, settings->header_count, " ");
    print_pairs(file, "resource", settings->resource, settings->resource_count, ".");
    fclose(file);
}

START_TEST(a_variable_counts_or_is_named)
{
    static struct span_settings settings;
    struct seen seen = { .variables = rows[_i].variables };
    const struct span_environment environment = { &seen, get, bad };
    char text[4096];

    span_settings_read(&environment, "order-svc", &settings);
    print(&settings, text, sizeof text);
    ck_assert_msg(strstr(text, rows[_i].says) != NULL, "%s: '%s' not in %s", rows[_i].what,
                  rows[_i].says, text);
    ck_assert_msg(seen.bad_count == (rows[_i].bad != NULL), "%s: %d %s", rows[_i].what,
                  seen.bad_count, seen.bad_name);
    ck_assert_str_eq(seen.bad_name, rows[_i].bad == NULL ? "" : rows[_i].bad);
    ck_assert_ptr_null(strstr(seen.bad_value, "secret")); /* a header's value is told to nobody */
}
END_TEST

START_TEST(headers_have_a_limit)
{
    static struct span_settings settings;
    char many[4096] = "OTEL_EXPORTER_OTLP_HEADERS=";
    const char *variables[VARIABLES_MAX] = { URL, many };
    struct seen seen = { .variables = variables };
    const struct span_environment environment = { &seen, get, bad };

    for (int i = 0; i < SPAN_HEADERS_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "h%d=v,", i);
    span_settings_read(&environment, "order-svc", &settings);
    ck_assert_int_eq(seen.bad_count, 0);
    ck_assert_uint_eq(settings.header_count, SPAN_HEADERS_MAX);
    strcat(many, "more=1");
    span_settings_read(&environment, "order-svc", &settings);
    ck_assert_int_eq(seen.bad_count, 1);
    ck_assert_uint_eq(settings.header_count, 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("variables");

    tcase_add_loop_test(cases, a_variable_counts_or_is_named, 0, ROWS(rows));
    tcase_add_test(cases, headers_have_a_limit);
    return check_run("observe_span_settings", cases);
}
