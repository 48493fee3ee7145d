#include "mesh/observe/span_json.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_ERROR = 2 };

static void
put_number_text(struct json_writer *json, const char *key, int64_t number, const char *behind)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64 "%s", number, behind);
    json_put_text(json, key, text);
}

static void
put_text_attribute(struct json_writer *json, const char *key, const char *text)
{
    json_open_object(json, NULL);
    json_put_text(json, "key", key);
    json_open_object(json, "value");
    json_put_text(json, "stringValue", text);
    json_close_object(json);
    json_close_object(json);
}

static void
put_attribute(struct json_writer *json, const struct span_attribute *attribute)
{
    if (attribute->text != NULL) {
        put_text_attribute(json, attribute->key, attribute->text);
        return;
    }
    json_open_object(json, NULL);
    json_put_text(json, "key", attribute->key);
    json_open_object(json, "value");
    put_number_text(json, "intValue", attribute->number, "");
    json_close_object(json);
    json_close_object(json);
}

void
span_json_open(struct json_writer *json, const struct span_settings *settings)
{
    json_open_object(json, NULL);
    json_open_array(json, "resourceSpans");
    json_open_object(json, NULL);
    json_open_object(json, "resource");
    json_open_array(json, "attributes");
    for (size_t i = 0; i < settings->resource_count; i++)
        put_text_attribute(json, settings->resource[i].key, settings->resource[i].value);
    json_close_array(json);
    json_close_object(json);
    json_open_array(json, "scopeSpans");
    json_open_object(json, NULL);
    json_open_object(json, "scope");
    json_put_text(json, "name", "sagamesh");
    json_close_object(json);
    json_open_array(json, "spans");
}

void
span_json_close(struct json_writer *json)
{
    json_close_array(json);  /* spans */
    json_close_object(json); /* the scope */
    json_close_array(json);
    json_close_object(json); /* the resource */
    json_close_array(json);
    json_close_object(json);
}

static void
put_ids(struct json_writer *json, const char *traceparent)
{
    char trace[TRACE_ID_BYTES + 1], id[TRACE_SPAN_BYTES + 1];
    bool is_there = trace_id(traceparent, trace);

    assert(is_there);
    (void)is_there;
    trace_span_id(traceparent, id);
    json_put_text(json, "traceId", trace);
    json_put_text(json, "spanId", id);
}

void
span_json_put(struct json_writer *json, const struct span_copy *span)
{
    json_open_object(json, NULL);
    put_ids(json, span->traceparent);
    if (span->parent_id[0] != '\0')
        json_put_text(json, "parentSpanId", span->parent_id);
    json_put_int(json, "flags", trace_is_sampled(span->traceparent));
    json_put_text(json, "name", span->name);
    json_put_int(json, "kind", span->kind);
    put_number_text(json, "startTimeUnixNano", span->start_us, "000");
    put_number_text(json, "endTimeUnixNano", span->end_us, "000");
    json_open_array(json, "attributes");
    for (size_t i = 0; i < span->attribute_count; i++)
        put_attribute(json, &span->attributes[i]);
    if (span->error != NULL)
        put_text_attribute(json, "error.type", span->error);
    json_close_array(json);
    if (span->link[0] != '\0') {
        json_open_array(json, "links");
        json_open_object(json, NULL);
        put_ids(json, span->link);
        json_close_object(json);
        json_close_array(json);
    }
    json_open_object(json, "status");
    if (span->error != NULL)
        json_put_int(json, "code", STATUS_ERROR);
    json_close_object(json);
    json_close_object(json);
}

/* "1" as OTLP writes it, or 1 as some collectors do. */
static int64_t
count_of(const json_t *value)
{
    int64_t count = 0;

    if (json_is_integer(value))
        return json_integer_value(value);
    if (!json_is_string(value) || !text_read_int(json_string_value(value), 0, INT64_MAX, &count))
        return 0;
    return count;
}

bool
span_json_rejected(const char *answer, size_t bytes, int64_t *ret_count, char *ret_why,
                   size_t why_size)
{
    struct problem problem;
    json_t *json, *partial;
    const char *why;
    int64_t count;

    if (json_read(answer, bytes, "answer", &problem, &json) != ERR_OK)
        return false;
    partial = json_object_get(json, "partialSuccess");
    count = count_of(json_object_get(partial, "rejectedSpans"));
    why = json_string_value(json_object_get(partial, "errorMessage"));
    if (count > 0) {
        *ret_count = count;
        snprintf(ret_why, why_size, "%s", why == NULL ? "" : why);
    }
    json_decref(json);
    return count > 0;
}
