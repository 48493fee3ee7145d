/* json.h -- Reading JSON strictly, and writing it without building a tree.
 *
 * Reading goes through jansson: duplicate keys, trailing text and nesting past JSON_DEPTH_MAX are
 * refused (jansson's own limit is 2,048, deep enough to hurt). Writing is a growing text: events and
 * journal records are written on the hot path and read almost never.
 *
 * Thread    Plain data.
 * Memory    A json_writer owns its text; json_writer_free() gives it back. Zero-initialise it.
 */
#ifndef MESH_BASE_JSON_H
#define MESH_BASE_JSON_H

#include "mesh/base/error.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 32 };

/* The rule that a text breaks which jansson did not take, in our words: "must be UTF-8". */
const char *json_rule(const json_error_t *error);

/* *ret_json is the caller's to decref. Any JSON value is accepted. The problem names field. */
enum error json_read(const char *text, size_t bytes, const char *field, struct problem *problem,
                     json_t **ret_json);

/* The text of a member of an object that a json_writer wrote, found without building a tree; not
 * NUL-terminated, inside of text. False: there is none, or it is written with escapes. */
bool json_peek_text(const char *text, const char *member, const char **ret_value,
                    size_t *ret_bytes);

struct json_writer {
    char *text; /* NUL-terminated once anything was written */
    size_t bytes, size;
    bool needs_comma;
};

void json_writer_free(struct json_writer *writer);
void json_writer_reset(struct json_writer *writer);

/* key is NULL inside an array and for the outermost value. Keys are our own literals or escaped. */
void json_open_object(struct json_writer *writer, const char *key);
void json_close_object(struct json_writer *writer);
void json_open_array(struct json_writer *writer, const char *key);
void json_close_array(struct json_writer *writer);
void json_put_text(struct json_writer *writer, const char *key, const char *text);
void json_put_int(struct json_writer *writer, const char *key, int64_t value);
void json_put_bool(struct json_writer *writer, const char *key, bool value);
void json_put_raw(struct json_writer *writer, const char *key, const char *json, size_t bytes);
/* Without loops, which jansson can build only on purpose. Texts end at their first NUL, which no reader
 * of ours lets in. */
void json_put_tree(struct json_writer *writer, const char *key, const json_t *tree);

/* What json_put_tree() would write, in bytes; one that has more than max gives some number above max,
 * soon: values that are shared may stand in a tree a million times. */
size_t json_tree_bytes(const json_t *tree, size_t max);

/* 0 for what is no object and no array. */
int json_tree_depth(const json_t *tree);

#endif
