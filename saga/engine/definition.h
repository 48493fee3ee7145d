/* definition.h -- A state machine, read from JSON and checked before anything runs on it.
 *
 * The language is Apache Seata's Saga state language. State types are rows of a table: a type that is
 * known and not yet supported is refused by its name, one that nobody knows as unknown; keys that
 * nobody knows are ignored, as Seata does. Everything in a definition is resolved when it loads:
 * names to indexes, expressions to trees, times to microseconds. A version that was stored by an older
 * program loads by the checks of its time: sagas stand in it.
 *
 * Thread    A loaded definition is read-only and may be shared.
 * Memory    definition_read: the caller's to free, after every instance that runs on it.
 * Errors    ERR_BAD_REQUEST; problem.field is "States.NAME.KEY" and the text says the rule.
 *           Warnings do not keep a definition from loading.
 * Units     *_us microseconds.
 */
#ifndef SAGA_ENGINE_DEFINITION_H
#define SAGA_ENGINE_DEFINITION_H

#include "mesh/base/error.h"
#include "saga/engine/template.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DEFINITION_BYTES_MAX = 256 * 1024,
    DEFINITION_STATES_MAX = 256,
    EVENTS_MAX = 16, /* different ones that the waits of a definition name */
    EVENT_NAME_BYTES_MAX = 64,
    RETRY_RULES_MAX = 4, /* Retry entries of a state; each has a counter in the step */
    STATE_NONE = -1,
};

/* Seata's words. */
enum status { STATUS_NONE, STATUS_RU, STATUS_SU, STATUS_FA, STATUS_UN, STATUS_SK, STATUS_COUNT };

const char *status_text(enum status status); /* "" "RU" "SU" "FA" "UN" "SK" */
bool status_parse(const char *text, enum status *ret_status);

enum state_kind {
    STATE_SERVICE_TASK,
    STATE_CHOICE,
    STATE_SUCCEED,
    STATE_FAIL,
    STATE_COMPENSATION_TRIGGER,
    STATE_WAIT_FOR_EVENT,
    STATE_UNREADABLE, /* of a stored version */
    STATE_KIND_COUNT
};

struct output_rule {
    const char *name;
    struct template value;
};

struct status_rule {
    struct expression *when;
    enum status status;
};

struct catch_rule {
    char **classes;
    size_t class_count;
    int next;
};

struct retry_rule {
    char **classes; /* none: what the network does (java.net.*) */
    size_t class_count;
    int attempts_max; /* retries, so one less than calls */
    int64_t interval_us;
    int64_t backoff_milli; /* 2000 doubles */
};

struct choice_rule {
    struct expression *when;
    int next;
};

struct state {
    char *name;
    enum state_kind kind;
    const char
        *broken; /* why a saga that comes here is stuck; NULL: it is not. Of a stored version */
    int next;    /* STATE_NONE: the machine ends after this state */

    /* ServiceTask */
    char *service, *method;
    bool has_input, is_for_update, is_for_compensation, is_pivot;
    bool is_read; /* IsForUpdate is false in so many words: asking it changes nothing */
    struct template *inputs;
    size_t input_count;
    struct output_rule *outputs;
    size_t output_count;
    struct status_rule *statuses;
    size_t status_count;
    struct catch_rule *catches;
    size_t catch_count;
    struct retry_rule *retries;
    size_t retry_count;
    int compensate_state;
    int64_t attempt_timeout_us; /* AttemptTimeoutMs; 2 s */
    int64_t budget_us;          /* BudgetSeconds; 0: by where the saga stands */

    /* Choice */
    struct choice_rule *choices;
    size_t choice_count;
    int fallback; /* Default */

    /* WaitForEvent, which has catches too */
    char *event;
    struct expression *until;    /* on the context, the event's newest payload in it */
    struct expression *deadline; /* a time in microseconds, or null; NULL: none */
    int64_t timeout_us;          /* at the latest */
    int timeout_next;            /* STATE_NONE: sagamesh.Timeout is raised */

    /* Fail */
    char *error_code, *error_message;
};

struct definition {
    char *name;
    struct arena *arena;
    json_t *tree; /* literals point into it */
    char *text;   /* the bytes it was read from */
    size_t text_bytes;
    char hash[65]; /* SHA-256 of text, hex: what instances are pinned to */
    struct state *states;
    size_t state_count;
    int start;
    int trigger; /* the first CompensationTrigger, or STATE_NONE */
    char **warnings;
    size_t warning_count;
};

struct definition_options {
    bool must_be_grpc; /* a ServiceTask without "ServiceType": "GRPC" is refused */
    /* It was accepted once, and sagas stand in it: today's checks are left out, numbers out of
     * range become the nearest ones within, and a state that cannot be read is broken, and loads. */
    bool is_stored;
};

enum error definition_read(const char *text, size_t bytes, const struct definition_options *options,
                           struct problem *problem, struct definition **ret_definition);

/* NULL is fine. Returns NULL. */
struct definition *definition_free(struct definition *definition);

/* The end behind a state without Next, where a state's index is expected. */
int definition_end(const struct definition *definition);

/* STATE_NONE when there is none. */
int definition_state_find(const struct definition *definition, const char *name);

/* Does a wait of it name this event? */
bool definition_awaits(const struct definition *definition, const char *event);

/* Why only the engine may write this name of the context; NULL: inputs and Outputs may too. */
const char *definition_reserves(const struct definition *definition, const char *name);

/* The budget of a state that is entered before the pivot, or after it (and when undoing), for errors that no
 * Retry entry names. */
int64_t state_budget_us(const struct state *state, bool is_long);

#endif
