/* json_pick.h -- Chosen members of a JSON object that a stranger wrote, and nothing of its others.
 *
 * RFC 8259 allows more than most programs can hold: integers of any size, halves of surrogate pairs, texts
 * with NUL, a key twice. In a member that the program does not read none of this matters, and reading must not fail for
 * it: a payment provider's answer with a trace number of 2^64 still says that the payment succeeded. So
 * the text is scanned by its grammar alone, and only the wanted values go to jansson.
 *
 *   the text breaks the grammar, or is no object     BAD_REQUEST
 *   a wanted key comes twice in its object           BAD_REQUEST: which of the two is meant?
 *   a wanted value is one that jansson cannot hold,
 *   or of another shape than wanted                  null, which the caller takes for "not said"
 *
 * Thread    Plain data.
 * Memory    *ret_json is the caller's to decref. Nothing grows with the nesting of members that are not wanted.
 */
#ifndef MESH_BASE_JSON_PICK_H
#define MESH_BASE_JSON_PICK_H

#include "mesh/base/json.h"

/* A list ends with a row of zeros. members NULL: a text, a number, true, false or null. Else an object with
 * these members, or an array of such objects. */
struct json_want {
    const char *key; /* ASCII */
    const struct json_want *members;
};

/* The problem names field, what is wrong and where. */
enum error json_pick(const char *text, size_t bytes, const struct json_want *wanted,
                     const char *field, struct problem *problem, json_t **ret_json);

#endif
