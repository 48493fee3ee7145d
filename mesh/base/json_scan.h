/* json_scan.h -- JSON read by its grammar alone: where members and values begin and end, and no tree.
 *
 *     struct json_scan scan;
 *     struct json_key key;
 *     size_t count = 0;
 *
 *     json_scan_begin(&scan, text, bytes);
 *     while (json_scan_member(&scan, &count, &key)) {
 *         const char *value = json_scan_at(&scan);
 *         if (!json_scan_value(&scan))
 *             break;
 *         ... the value ends at scan.at; key is json_key_is(&key, "status") ...
 *     }
 *     json_scan_end(&scan);
 *     ... scan.why is NULL: all of it is JSON, and an object ...
 *
 * Once why is set, nothing is read any more. Any object and array within is gone through in the same way, or
 * passed by json_scan_value(), which does not recurse.
 *
 * Thread    Plain data.
 * Memory    Everything points into the text.
 */
#ifndef MESH_BASE_JSON_SCAN_H
#define MESH_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_SCAN_DEPTH_MAX = 1024 }; /* of nesting, in what is passed */

struct json_scan {
    const char *begin, *at, *end;
    const char
        *why; /* it breaks the grammar, at `at`; or what the reader set by json_scan_fail() */
};

/* As it is written, without its quotes. */
struct json_key {
    const char *begin, *end;
};

/* The text must be an object; behind a byte order mark, which is no JSON, and which readers may ignore. */
bool json_scan_begin(struct json_scan *scan, const char *text, size_t bytes);

/* At the '{' of an object, count 0, or behind the value of a member: the next one; at is then at its value. False: the
 * object is over, and at behind it, or why is set. json_scan_element() does it for arrays. */
bool json_scan_member(struct json_scan *scan, size_t *count, struct json_key *ret_key);
bool json_scan_element(struct json_scan *scan, size_t *count);

/* Behind white space: the first byte of a value; '\0' at the end. */
char json_scan_peek(struct json_scan *scan);

/* Passes a value of any kind. */
bool json_scan_value(struct json_scan *scan);

/* Nothing may follow. */
bool json_scan_end(struct json_scan *scan);

/* False; why is a text that stays. */
bool json_scan_fail(struct json_scan *scan, const char *why);

/* Escapes are ways to write the same. name is ASCII. */
bool json_key_is(const struct json_key *key, const char *name);

#endif
