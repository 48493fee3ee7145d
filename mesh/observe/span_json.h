/* span_json.h -- Spans as OTLP/HTTP writes them in JSON: an ExportTraceServiceRequest.
 *
 * What differs from the JSON of other protobuf messages: trace and span ids are hex and not base64, and enums
 * are numbers. 64-bit numbers are texts.
 *
 *     span_json_open(&json, &settings);  span_json_put(&json, copy) ...;  span_json_close(&json);
 *
 * Thread    Plain data.
 */
#ifndef MESH_OBSERVE_SPAN_JSON_H
#define MESH_OBSERVE_SPAN_JSON_H

#include "mesh/base/json.h"
#include "mesh/observe/span_queue.h"
#include "mesh/observe/span_settings.h"

void span_json_open(struct json_writer *json, const struct span_settings *settings);
void span_json_put(struct json_writer *json, const struct span_copy *span);
void span_json_close(struct json_writer *json);

/* What a collector's 200 says of the spans that it did not take: how many, and why. False: it took all of them. */
bool span_json_rejected(const char *answer, size_t bytes, int64_t *ret_count, char *ret_why,
                        size_t why_size);

#endif
