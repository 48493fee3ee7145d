/* Each variable has a reader of its kind (number, word, pairs, URL). What a reader refuses it names, and
 * leaves the default. */
#include "mesh/observe/span_settings.h"
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TRACES_PATH "/v1/traces"

/* NULL: not set, or empty. */
static const char *
get(const struct span_environment *environment, const char *name)
{
    const char *value = environment->get(environment->owner, name);

    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* The variable of traces, or the one of all signals; *ret_name is the one that counts. */
static const char *
get_otlp(const struct span_environment *environment, const char *what, char ret_name[64])
{
    const char *value;

    snprintf(ret_name, 64, "OTEL_EXPORTER_OTLP_TRACES_%s", what);
    value = get(environment, ret_name);
    if (value != NULL)
        return value;
    snprintf(ret_name, 64, "OTEL_EXPORTER_OTLP_%s", what);
    return get(environment, ret_name);
}

static void
bad(const struct span_environment *environment, const char *name, const char *value,
    const char *rule)
{
    environment->bad(environment->owner, name, value, rule);
}

/* ---- are spans wanted? ---- */

static bool
is_disabled(const struct span_environment *environment)
{
    const char *value = get(environment, "OTEL_SDK_DISABLED");

    return value != NULL && strcasecmp(value, "true") == 0;
}

bool
span_settings_are_wanted(const struct span_environment *environment)
{
    const char *exporter = get(environment, "OTEL_TRACES_EXPORTER");
    char name[64];

    return get_otlp(environment, "ENDPOINT", name) != NULL && !is_disabled(environment) &&
           (exporter == NULL || strcmp(exporter, "none") != 0);
}

/* ---- readers ---- */

static void
read_number(const struct span_environment *environment, const char *name, const char *value,
            int64_t max, int64_t *number)
{
    char rule[64];

    if (value == NULL || text_read_int(value, 1, max, number))
        return;
    snprintf(rule, sizeof rule, "a whole number from 1 to %lld", (long long)max);
    bad(environment, name, value, rule);
}

/* One of two words; true: it is the second. */
static bool
read_word(const struct span_environment *environment, const char *name, const char *value,
          const char *first, const char *second)
{
    char rule[96];

    if (value == NULL || strcasecmp(value, first) == 0)
        return false;
    if (strcasecmp(value, second) == 0)
        return true;
    snprintf(rule, sizeof rule, "'%s' or '%s'", first, second);
    bad(environment, name, value, rule);
    return false;
}

/* Undoes %20 and its like. False: what comes out does not fit, or is no text. */
static bool
text_decode(const char *text, size_t bytes, char *ret_text, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < bytes; i++) {
        int high, low;
        char byte = text[i];

        if (byte == '%') {
            if (bytes - i < 3)
                return false;
            high = text_hex_digit((char)(text[i + 1] | 0x20)); /* either case */
            low = text_hex_digit((char)(text[i + 2] | 0x20));
            if (high < 0 || low < 0)
                return false;
            byte = (char)(high << 4 | low);
            i += 2;
        }
        if ((unsigned char)byte < ' ' || byte == 0x7f || count + 1 == size)
            return false;
        ret_text[count++] = byte;
    }
    ret_text[count] = '\0';
    return utf8_is_valid(ret_text, count);
}

static void
trim(const char **text, size_t *bytes)
{
    while (*bytes > 0 && ((*text)[0] == ' ' || (*text)[0] == '\t'))
        (*text)++, (*bytes)--;
    while (*bytes > 0 && ((*text)[*bytes - 1] == ' ' || (*text)[*bytes - 1] == '\t'))
        (*bytes)--;
}

/* "key=value" */
static bool
pair_read(const char *text, size_t bytes, struct span_pair *pair)
{
    const char *equals = memchr(text, '=', bytes), *value;
    size_t key_bytes, value_bytes;

    if (equals == NULL)
        return false;
    key_bytes = (size_t)(equals - text);
    value = equals + 1;
    value_bytes = bytes - key_bytes - 1;
    trim(&text, &key_bytes);
    trim(&value, &value_bytes);
    return key_bytes > 0 && text_decode(text, key_bytes, pair->key, sizeof pair->key) &&
           text_decode(value, value_bytes, pair->value, sizeof pair->value);
}

/* "key=value,key=value" behind what is there; all of them or, where one is wrong, none. */
static void
read_pairs(const struct span_environment *environment, const char *name, const char *value,
           bool is_secret, struct span_pair *pairs, size_t max, size_t *count)
{
    size_t added = *count;
    char rule[96];

    for (const char *at = value; at != NULL && *at != '\0';) {
        size_t bytes = strcspn(at, ","), trimmed = bytes;
        const char *text = at;

        trim(&text, &trimmed);
        if (trimmed > 0 && (added == max || !pair_read(text, trimmed, &pairs[added++]))) {
            snprintf(rule, sizeof rule, "key=value,key=value with %%20 and its like, %zu at most",
                     max);
            bad(environment, name, is_secret ? "..." : value, rule);
            return;
        }
        at += bytes + (at[bytes] == ',');
    }
    *count = added;
}

/* ---- the groups of variables ---- */

static bool
is_url(const char *url)
{
    const char *host = strncasecmp(url, "http://", 7) == 0    ? url + 7
                       : strncasecmp(url, "https://", 8) == 0 ? url + 8
                                                              : "";

    return host[0] != '\0' && host[0] != '/' && strpbrk(url, " \t\r\n\"<>") == NULL;
}

/* The general endpoint gets the path of traces, the one of traces is taken as it stands. */
static void
read_url(const struct span_environment *environment, struct span_settings *settings)
{
    char name[64];
    const char *url = get_otlp(environment, "ENDPOINT", name);
    const char *path = strstr(name, "TRACES") != NULL ? "" : TRACES_PATH;
    size_t bytes = strlen(url);

    while (path[0] != '\0' && bytes > 0 && url[bytes - 1] == '/')
        bytes--;
    if (!is_url(url) || bytes + strlen(path) >= sizeof settings->url) {
        /* it may hold a password */
        bad(environment, name, "...", "a URL of http or https, shorter than 500 characters");
        return;
    }
    snprintf(settings->url, sizeof settings->url, "%.*s%s", (int)bytes, url, path);
}

static void
read_otlp(const struct span_environment *environment, struct span_settings *settings)
{
    char name[64];
    const char *value;

    value = get_otlp(environment, "PROTOCOL", name);
    if (value != NULL && strcmp(value, "http/json") != 0)
        bad(environment, name, value, "'http/json', the one that this program speaks");
    value = get_otlp(environment, "HEADERS", name);
    read_pairs(environment, name, value, true, settings->headers, SPAN_HEADERS_MAX,
               &settings->header_count);
    value = get_otlp(environment, "TIMEOUT", name);
    read_number(environment, name, value, 600000, &settings->timeout_ms);
    value = get_otlp(environment, "COMPRESSION", name);
    settings->has_gzip = read_word(environment, name, value, "none", "gzip");
    value = get_otlp(environment, "CERTIFICATE", name);
    if (value != NULL && strlen(value) >= sizeof settings->ca_file)
        bad(environment, name, value, "a path shorter than 500 characters");
    else if (value != NULL)
        snprintf(settings->ca_file, sizeof settings->ca_file, "%s", value);
}

static void
read_sampler(const struct span_environment *environment, struct span_settings *settings)
{
    const char *value = get(environment, "OTEL_TRACES_SAMPLER");
    bool is_found;

    is_found = sampler_find("parentbased_always_on", &settings->sampler);
    assert(is_found);
    if (value != NULL && !sampler_find(value, &settings->sampler))
        bad(environment, "OTEL_TRACES_SAMPLER", value,
            "always_on, always_off, traceidratio, or one of them behind parentbased_");
    value = get(environment, "OTEL_TRACES_SAMPLER_ARG");
    if (settings->sampler.has_ratio && value != NULL &&
        !sampler_set_ratio(&settings->sampler, value))
        bad(environment, "OTEL_TRACES_SAMPLER_ARG", value, "a number from 0 to 1");
}

static void
read_batches(const struct span_environment *environment, struct span_settings *settings)
{
    /* clang-format off */
    const struct { const char *name; int64_t max; int64_t *number; } rows[] = {
        { "OTEL_BSP_MAX_QUEUE_SIZE",        SPAN_QUEUE_MAX, &settings->queue_max },
        { "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", SPAN_QUEUE_MAX, &settings->batch_max },
        { "OTEL_BSP_SCHEDULE_DELAY",        600000,         &settings->delay_ms  },
        { "OTEL_BSP_EXPORT_TIMEOUT",        600000,         &settings->export_ms },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        read_number(environment, rows[i].name, get(environment, rows[i].name), rows[i].max,
                    rows[i].number);
    if (settings->batch_max > settings->queue_max) {
        if (get(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE") != NULL)
            bad(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                get(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
                "no more than OTEL_BSP_MAX_QUEUE_SIZE, which is taken");
        settings->batch_max = settings->queue_max;
    }
}

/* OTEL_SERVICE_NAME counts before a service.name among the attributes, as the specification says. */
static void
read_resource(const struct span_environment *environment, const char *program,
              struct span_settings *settings)
{
    const char *own_name = get(environment, "OTEL_SERVICE_NAME");
    struct span_pair *name = &settings->resource[0];
    size_t kept = 1;

    snprintf(name->key, sizeof name->key, "service.name");
    snprintf(name->value, sizeof name->value, "%s", program);
    settings->resource_count = 1;
    read_pairs(environment, "OTEL_RESOURCE_ATTRIBUTES",
               get(environment, "OTEL_RESOURCE_ATTRIBUTES"), false, settings->resource,
               SPAN_RESOURCE_MAX, &settings->resource_count);
    for (size_t i = 1; i < settings->resource_count; i++) {
        if (strcmp(settings->resource[i].key, name->key) == 0)
            *name = settings->resource[i];
        else
            settings->resource[kept++] = settings->resource[i];
    }
    settings->resource_count = kept;
    if (own_name != NULL &&
        (strlen(own_name) >= sizeof name->value || !utf8_is_valid(own_name, strlen(own_name))))
        bad(environment, "OTEL_SERVICE_NAME", own_name, "a text of UTF-8 below 500 bytes");
    else if (own_name != NULL)
        snprintf(name->value, sizeof name->value, "%s", own_name);
}

void
span_settings_read(const struct span_environment *environment, const char *program,
                   struct span_settings *ret_settings)
{
    *ret_settings = (struct span_settings){ .timeout_ms = 10000,
                                            .queue_max = 2048,
                                            .batch_max = 512,
                                            .delay_ms = 5000,
                                            .export_ms = 30000 };
    if (!span_settings_are_wanted(environment))
        return;
    read_word(environment, "OTEL_SDK_DISABLED", get(environment, "OTEL_SDK_DISABLED"), "false",
              "true");
    read_word(environment, "OTEL_TRACES_EXPORTER", get(environment, "OTEL_TRACES_EXPORTER"), "otlp",
              "none");
    read_otlp(environment, ret_settings);
    read_sampler(environment, ret_settings);
    read_batches(environment, ret_settings);
    read_resource(environment, program, ret_settings);
    read_url(environment, ret_settings);
}
