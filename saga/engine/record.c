#include "saga/engine/record.h"
#include "saga/engine/field.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The word a kind has in the journal. Words are never changed, only added. */
static const char *const kinds[RECORD_KIND_COUNT] = {
    [RECORD_START] = "start",   [RECORD_ENTER] = "enter",       [RECORD_ATTEMPT] = "attempt",
    [RECORD_DONE] = "done",     [RECORD_REOPEN] = "reopen",     [RECORD_TRIGGER] = "trigger",
    [RECORD_UNDONE] = "undone", [RECORD_STUCK] = "stuck",       [RECORD_END] = "end",
    [RECORD_CANCEL] = "cancel", [RECORD_OPERATOR] = "operator", [RECORD_SIGNAL] = "signal",
    [RECORD_SETTLE] = "settle",
};

/* Short keys: pages are the biggest thing that a saga writes. */
/* clang-format off */
static const struct field fields[] = {
    { "i",  FIELD_UUID,   offsetof(struct record, saga_id)      },
    { "q",  FIELD_TIME,   offsetof(struct record, number)       },
    { "t",  FIELD_TIME,   offsetof(struct record, time_us)      },
    { "s",  FIELD_INDEX,  offsetof(struct record, state)        },
    { "u",  FIELD_INDEX,  offsetof(struct record, undoes)       },
    { "o",  FIELD_INDEX,  offsetof(struct record, retries_step) },
    { "r",  FIELD_INDEX,  offsetof(struct record, retry_rule)   },
    { "a",  FIELD_UUID,   offsetof(struct record, activation)   },
    { "n",  FIELD_TIME,   offsetof(struct record, next_us)      },
    { "b",  FIELD_TIME,   offsetof(struct record, budget_us)    },
    { "x",  FIELD_STATUS, offsetof(struct record, status)       },
    { "c",  FIELD_STATUS, offsetof(struct record, compensation) },
    { "un", FIELD_BOOL,   offsetof(struct record, is_unknown)   },
    { "ca", FIELD_BOOL,   offsetof(struct record, is_caught)    },
    { "w",  FIELD_BOOL,   offsetof(struct record, was_called)   },
    { "l",  FIELD_BOOL,   offsetof(struct record, is_long)      },
    { "e",  FIELD_TEXT,   offsetof(struct record, class)        },
    { "er", FIELD_TEXT,   offsetof(struct record, reason)       },
    { "em", FIELD_TEXT,   offsetof(struct record, message)      },
    { "ev", FIELD_TEXT,   offsetof(struct record, event)        },
    { "v",  FIELD_TIME,   offsetof(struct record, version)      },
    { "d",  FIELD_TREE,   offsetof(struct record, set)          },
    { "tp", FIELD_TEXT,   offsetof(struct record, traceparent)  },
    { 0 },
};
/* clang-format on */

const char *
record_word(enum record_kind kind)
{
    return kinds[kind];
}

void
records_reset(struct records *records)
{
    for (size_t i = 0; i < records->count; i++)
        json_decref(records->items[i].set);
    records->count = 0;
    if (records->arena != NULL)
        arena_reset(records->arena);
}

void
records_free(struct records *records)
{
    records_reset(records);
    free(records->items);
    arena_free(records->arena);
    memset(records, 0, sizeof *records);
}

struct record *
records_add(struct records *records, enum record_kind kind, struct uuid saga_id, int64_t time_us)
{
    struct record *record;

    if (records->arena == NULL)
        records->arena = arena_new();
    if (records->count == records->size) {
        records->size = records->size == 0 ? 16 : records->size * 2;
        records->items = memory_grow(records->items, records->size * sizeof *records->items);
    }
    record = &records->items[records->count++];
    memset(record, 0, sizeof *record);
    record->kind = kind;
    record->saga_id = saga_id;
    record->time_us = time_us;
    record->state = STATE_NONE;
    record->undoes = record->retries_step = record->retry_rule = -1;
    return record;
}

void
record_write(const struct record *record, struct json_writer *writer)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "k", kinds[record->kind]);
    fields_write(fields, record, writer);
    if (record->definition != NULL) {
        json_put_text(writer, "dn", record->definition->name);
        json_put_text(writer, "dh", record->definition->hash);
    }
    json_close_object(writer);
}

static bool
kind_parse(const char *text, enum record_kind *ret_kind)
{
    for (int i = 0; text != NULL && i < RECORD_KIND_COUNT; i++) {
        if (strcmp(kinds[i], text) == 0) {
            *ret_kind = (enum record_kind)i;
            return true;
        }
    }
    return false;
}

static enum error
start_read(const json_t *json, definition_find find, void *find_context, struct problem *problem,
           struct record *record)
{
    const char *name = json_string_value(json_object_get(json, "dn"));
    const char *hash = json_string_value(json_object_get(json, "dh"));

    if (name == NULL || hash == NULL || !json_is_object(record->set))
        return problem_set(problem, ERR_BAD_REQUEST, "record", "a start that starts nothing");
    record->definition = find(find_context, name, hash);
    if (record->definition == NULL)
        return problem_set(problem, ERR_NOT_FOUND, "record", "definition %.40s %.16s is not loaded",
                           name, hash);
    return ERR_OK;
}

enum error
record_read(struct records *records, const char *text, size_t bytes, definition_find find,
            void *find_context, struct problem *problem)
{
    static const struct uuid nil;
    enum record_kind kind = RECORD_START;
    struct record *record;
    enum error error;
    json_t *json;

    error = json_read(text, bytes, "record", problem, &json);
    if (error != ERR_OK)
        return error;
    if (!kind_parse(json_string_value(json_object_get(json, "k")), &kind)) {
        json_decref(json);
        return problem_set(problem, ERR_BAD_REQUEST, "record", "is of no kind that exists");
    }
    record = records_add(records, kind, nil, 0);
    error = fields_read(fields, json, records->arena, problem, record);
    if (error == ERR_OK && record->time_us > RECORD_READ_MAX_US)
        error = problem_set(problem, ERR_BAD_REQUEST, "record", "its time is too far ahead");
    if (error == ERR_OK && kind == RECORD_START)
        error = start_read(json, find, find_context, problem, record);
    if (error != ERR_OK) {
        json_decref(record->set);
        records->count--;
    }
    json_decref(json);
    return error;
}
