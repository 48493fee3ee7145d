/* pbjson.h -- JSON to and from protobuf messages that this program has never heard of.
 *
 * Reads a FileDescriptorSet (protoc --descriptor_set_out --include_imports) once, and then turns JSON
 * into the wire form of any message in it and back, by the rules of proto3 JSON: lowerCamelCase names
 * (the original ones are accepted too), 64-bit integers as strings (numbers are accepted), enums by
 * name (numbers are accepted), bytes as base64, unset fields left out, null for unset, unknown fields
 * refused by name. Maps, repeated, oneof and nested messages; depth is limited to JSON_DEPTH_MAX.
 * Texts must be UTF-8 without NUL. The well-known types with a JSON form of their own (Timestamp,
 * Duration, Struct, Any, wrappers, ...) and groups are refused by name when they are used.
 *
 * On the wire, fields that are not known are skipped and the last value of a field wins. JSON can
 * be some fifty times as large as the bytes it comes from: limit these first.
 *
 * Thread    A struct pbjson is read-only once loaded and may be shared.
 * Memory    Results live in the arena, or are the caller's to json_decref.
 * Errors    ERR_BAD_REQUEST with the path of the field ("lines[1].quantity") in the problem.
 */
#ifndef MESH_PB_PBJSON_H
#define MESH_PB_PBJSON_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct pbjson;
struct pbjson_message; /* a message type */

struct pbjson_method {
    const struct pbjson_message *request, *response;
    bool is_streaming;
};

/* The set is the operator's, not a stranger's: protobuf-c reads nested types by recursion. A type that
 * is used but not in it is ERR_BAD_REQUEST and named. */
enum error pbjson_load(const uint8_t *descriptor_set, size_t bytes, struct problem *problem,
                       struct pbjson **ret_pbjson);
struct pbjson *pbjson_free(struct pbjson *pbjson);

/* service: "sagamesh.storage.v1.StorageService". False when there is none. */
bool pbjson_method_find(const struct pbjson *pbjson, const char *service, const char *method,
                        struct pbjson_method *ret_method);
const struct pbjson_message *pbjson_message_find(const struct pbjson *pbjson, const char *name);

/* Is there a field of this name (original or lowerCamelCase)? For checks when a definition loads. */
bool pbjson_message_has(const struct pbjson_message *message, const char *field);

/* json must be an object. */
enum error pbjson_encode(const struct pbjson_message *message, const json_t *json,
                         struct arena *arena, struct problem *problem, uint8_t **ret_bytes,
                         size_t *ret_count);

/* For expressions. 64-bit integers are whole numbers (a uint64 above INT64_MAX stays a text), and what has
 * its default is there: 0, "", false, the enum's name of 0, [] and {}: `totalMinor` must exist also when
 * it is 0. Messages, members of a oneof and optional fields are still left out when unset. */
enum error pbjson_decode(const struct pbjson_message *message, const uint8_t *bytes, size_t count,
                         struct problem *problem, json_t **ret_json);

#endif
