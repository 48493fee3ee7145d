/* instance_row.c -- An instance as one JSON object, for parked rows, and back. */
#include "saga/engine/field.h"
#include "saga/engine/instance_inner.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct field instance_fields[] = {
    { "id",           FIELD_UUID,   offsetof(struct instance, id)               },
    { "current",      FIELD_INDEX,  offsetof(struct instance, current)          },
    { "state",        FIELD_INDEX,  offsetof(struct instance, state)            },
    { "status",       FIELD_STATUS, offsetof(struct instance, status)           },
    { "compensation", FIELD_STATUS, offsetof(struct instance, compensation)     },
    { "undoing",      FIELD_BOOL,   offsetof(struct instance, is_undoing)       },
    { "afterTrigger", FIELD_BOOL,   offsetof(struct instance, is_after_trigger) },
    { "trigger",      FIELD_INDEX,  offsetof(struct instance, trigger)          },
    { "enterAfter",   FIELD_INDEX,  offsetof(struct instance, enter_after_undo) },
    { "standing",     FIELD_INDEX,  offsetof(struct instance, standing)         },
    { "stuck",        FIELD_BOOL,   offsetof(struct instance, is_stuck)         },
    { "ended",        FIELD_BOOL,   offsetof(struct instance, is_ended)         },
    { "cancel",       FIELD_BOOL,   offsetof(struct instance, cancel_requested) },
    { "cancelRaised", FIELD_BOOL,   offsetof(struct instance, cancel_raised)    },
    { "version",      FIELD_TIME,   offsetof(struct instance, version)          },
    { "started",      FIELD_TIME,   offsetof(struct instance, started_us)       },
    { "changed",      FIELD_TIME,   offsetof(struct instance, changed_us)       },
    { "errorCode",    FIELD_TEXT,   offsetof(struct instance, error_code)       },
    { "errorMessage", FIELD_TEXT,   offsetof(struct instance, error_message)    },
    { "input",        FIELD_TREE,   offsetof(struct instance, input)            },
    { "audit",        FIELD_TREE,   offsetof(struct instance, audit)            },
    { "context",      FIELD_TREE,   offsetof(struct instance, context)          },
    { 0 },
};

static const struct field signal_fields[] = {
    { "e", FIELD_TEXT, offsetof(struct signal_seen, event)   },
    { "v", FIELD_TIME, offsetof(struct signal_seen, version) },
    { "i", FIELD_UUID, offsetof(struct signal_seen, id)      },
    { "d", FIELD_TREE, offsetof(struct signal_seen, early)   },
    { 0 },
};

static const struct field step_fields[] = {
    { "s",  FIELD_INDEX,  offsetof(struct step, state)        },
    { "a",  FIELD_UUID,   offsetof(struct step, activation)   },
    { "x",  FIELD_STATUS, offsetof(struct step, status)       },
    { "c",  FIELD_STATUS, offsetof(struct step, compensation) },
    { "u",  FIELD_INDEX,  offsetof(struct step, undoes)       },
    { "at", FIELD_INT,    offsetof(struct step, attempts)     },
    { "un", FIELD_BOOL,   offsetof(struct step, is_unknown)   },
    { "ca", FIELD_BOOL,   offsetof(struct step, is_caught)    },
    { "re", FIELD_BOOL,   offsetof(struct step, is_retried)   },
    { "l",  FIELD_BOOL,   offsetof(struct step, is_long)      },
    { "t",  FIELD_TIME,   offsetof(struct step, started_us)   },
    { "te", FIELD_TIME,   offsetof(struct step, ended_us)     },
    { "n",  FIELD_TIME,   offsetof(struct step, next_us)      },
    { "b",  FIELD_TIME,   offsetof(struct step, budget_us)    },
    { "e",  FIELD_TEXT,   offsetof(struct step, class)        },
    { "er", FIELD_TEXT,   offsetof(struct step, reason)       },
    { "em", FIELD_TEXT,   offsetof(struct step, message)      },
    { "in", FIELD_TREE,   offsetof(struct step, inputs)       },
    { 0 },
};
/* clang-format on */

static void
steps_write(const struct instance *instance, struct json_writer *writer)
{
    json_open_array(writer, "steps");
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];

        json_open_object(writer, NULL);
        fields_write(step_fields, step, writer);
        for (int rule = 0; rule < RETRY_RULES_MAX; rule++) {
            static const char *const keys[RETRY_RULES_MAX] = { "r0", "r1", "r2", "r3" };

            if (step->retries[rule] != 0)
                json_put_int(writer, keys[rule], step->retries[rule]);
        }
        json_close_object(writer);
    }
    json_close_array(writer);
}

void
instance_write(const struct instance *instance, struct json_writer *writer)
{
    json_open_object(writer, NULL);
    json_put_text(writer, "definition", instance->definition->name);
    json_put_text(writer, "hash", instance->definition->hash);
    json_put_text(writer, "traceparent", instance->traceparent);
    fields_write(instance_fields, instance, writer);
    steps_write(instance, writer);
    json_open_array(writer, "signals");
    for (size_t i = 0; i < instance->signal_count; i++) {
        json_open_object(writer, NULL);
        fields_write(signal_fields, &instance->signals[i], writer);
        json_close_object(writer);
    }
    json_close_array(writer);
    json_close_object(writer);
}

static enum error
step_read(struct instance *instance, const json_t *json, struct problem *problem)
{
    struct step *step = instance_step_add(instance);
    enum error error = fields_read(step_fields, json, NULL, problem, step);

    for (int rule = 0; rule < RETRY_RULES_MAX; rule++) {
        static const char *const keys[RETRY_RULES_MAX] = { "r0", "r1", "r2", "r3" };

        step->retries[rule] = (uint16_t)json_integer_value(json_object_get(json, keys[rule]));
    }
    return error;
}

static enum error
signal_read(struct instance *instance, const json_t *json, struct problem *problem)
{
    struct signal_seen row = { 0 };
    enum error error = fields_read(signal_fields, json, NULL, problem, &row);

    if (error == ERR_OK && (row.event == NULL || instance->signal_count == EVENTS_MAX))
        error = problem_set(problem, ERR_BAD_REQUEST, "signals", "are not whole");
    if (error == ERR_OK) {
        instance->signals[instance->signal_count++] = row;
        return ERR_OK;
    }
    free(row.event);
    json_decref(row.early);
    return error;
}

static enum error
parts_read(struct instance *instance, const json_t *json, struct problem *problem)
{
    const char *traceparent = json_string_value(json_object_get(json, "traceparent"));
    const char *because;
    json_t *value;
    size_t index;

    json_array_foreach(json_object_get(json, "steps"), index, value)
    {
        enum error error = step_read(instance, value, problem);

        if (error != ERR_OK)
            return error;
    }
    json_array_foreach(json_object_get(json, "signals"), index, value)
    {
        enum error error = signal_read(instance, value, problem);

        if (error != ERR_OK)
            return error;
    }
    if (fields_read(instance_fields, json, NULL, problem, instance) != ERR_OK)
        return ERR_BAD_REQUEST;
    because = instance_flaw(instance);
    if (because != NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "instance", "is not whole: %s", because);
    instance_trace(instance, traceparent);
    instance->context_bytes = instance_bytes(instance);
    return ERR_OK;
}

enum error
instance_read(const char *text, size_t bytes, definition_find find, void *find_context,
              struct problem *problem, struct instance **ret_instance)
{
    static const struct uuid nil;
    struct instance *instance;
    const char *name, *hash;
    enum error error;
    json_t *json;

    error = json_read(text, bytes, "instance", problem, &json);
    if (error != ERR_OK)
        return error;
    instance = instance_new(nil);
    name = json_string_value(json_object_get(json, "definition"));
    hash = json_string_value(json_object_get(json, "hash"));
    if (name != NULL && hash != NULL)
        instance->definition = find(find_context, name, hash);
    error = instance->definition == NULL
                ? problem_set(problem, ERR_NOT_FOUND, "instance", "its definition is not loaded")
                : parts_read(instance, json, problem);
    json_decref(json);
    if (error != ERR_OK) {
        instance_free(instance);
        return error;
    }
    *ret_instance = instance;
    return ERR_OK;
}
