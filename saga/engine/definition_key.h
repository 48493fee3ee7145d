/* definition_key.h -- One key of a definition at a time: read, or refused with its place and the rule.
 *
 * For the files that read definitions only. Each function is true when the reading goes on: a key that is not
 * there leaves what it would have set, and of a version that was stored what cannot be read makes its state
 * broken (definition.h).
 */
#ifndef SAGA_ENGINE_DEFINITION_KEY_H
#define SAGA_ENGINE_DEFINITION_KEY_H

#include "saga/engine/definition.h"

enum {
    NAME_BYTES_MAX = 128,
    BUDGET_SECONDS_MAX = 40 * 24 * 3600, /* within the 45 days that participants keep an id */
};

struct reader {
    struct definition *definition;
    const struct definition_options *options;
    struct problem *problem;
    struct state *state; /* that is being read; NULL: the machine itself */
};

/* False, with the problem set; true of a stored version. */
bool key_refuse(struct reader *reader, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts the place into a problem that an expression made. */
bool key_refuse_expression(struct reader *reader, const char *key);

bool key_text(struct reader *reader, const json_t *json, const char *key, char **ret_text);
bool key_bool(struct reader *reader, const json_t *json, const char *key, bool *ret_is_true);
/* A number of some unit as that many millis of it: 1.5 -> 1500. */
bool key_milli(struct reader *reader, const json_t *json, const char *key, int64_t max,
               int64_t *ret_milli);
bool key_int(struct reader *reader, const json_t *json, const char *key, int64_t min, int64_t max,
             int64_t *ret_int);
bool key_target(struct reader *reader, const json_t *json, const char *key, int *ret_state);
bool key_expression(struct reader *reader, const char *text, const char *key,
                    struct expression **ret_expression);
/* A key whose value is an array or an object: its items in the arena, zeroed. */
bool key_list(struct reader *reader, const json_t *json, const char *key, bool is_object,
              size_t item_bytes, const json_t **ret_list, void *ret_items, size_t *ret_count);
/* "Exceptions" of a Catch or a Retry. */
bool key_classes(struct reader *reader, const json_t *json, const char *key, char ***ret_classes,
                 size_t *ret_count);
/* "Catch" of a task or a wait. */
bool key_catches(struct reader *reader, const json_t *json);

/* definition_task.c */
bool service_task_read(struct reader *reader, const json_t *json);

#endif
