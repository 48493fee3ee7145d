/* instance.h -- One saga as it stands: the fold of its records.
 *
 * Callers read everything and change nothing; instance_fold() is the one function that does.
 *
 * Thread    An instance belongs to one thread at a time.
 * Memory    instance_new: the caller's to free; its definition must live as long.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef SAGA_ENGINE_INSTANCE_H
#define SAGA_ENGINE_INSTANCE_H

#include "saga/engine/record.h"

enum {
    CONTEXT_BYTES_MAX = 64 * 1024,
    CONTEXT_DEPTH_MAX = 24, /* records and parked rows put it some levels deeper: JSON_DEPTH_MAX */
    INPUTS_BYTES_MAX = 64 * 1024,
    INPUTS_DEPTH_MAX = 28, /* a parked row has them three levels deeper */
    STEPS_MAX = 10000,
    STEP_NONE = -1,
};

enum phase {
    PHASE_NEW, /* nothing was folded yet */
    PHASE_RUNNING,
    PHASE_RETRYING,     /* the next attempt has its time */
    PHASE_COMPENSATING, /* undoing, trying or waiting to try */
    PHASE_STUCK,
    PHASE_ENDED,
    PHASE_WAITING, /* for an event */
    PHASE_COUNT
};

const char *phase_text(enum phase phase);

/* One activation of a task or a wait. */
struct step {
    int state;
    struct uuid activation;
    enum status status;         /* RU while it is current */
    enum status compensation;   /* of what undid it: NONE, RU, SU, FA, UN */
    int undoes;                 /* index of the step that this one undoes, or STEP_NONE */
    int attempts;               /* that ended */
    bool is_unknown;            /* an attempt may have happened: sticky until it is settled */
    bool is_caught, is_retried; /* a Catch took its error; another activation took its place */
    bool is_long;               /* long budget: spent, it makes the saga stuck */
    int64_t started_us, ended_us, budget_us;
    int64_t next_us; /* the next attempt is due; of a wait: its deadline */
    uint16_t retries[RETRY_RULES_MAX];
    char *class, *reason, *message; /* of its last error; NULL: none */
    /* Its Input, evaluated when it was entered: each of its attempts asks the same. Kept while it may be
     * asked again; NULL: it has none, or is over. */
    json_t *inputs;
};

/* The newest news of an event. */
struct signal_seen {
    char *event;
    int64_t version;
    struct uuid id;
    json_t *early; /* no wait has taken it into the context yet; NULL: one has */
};

struct instance {
    struct uuid id;
    const struct definition *definition;
    json_t *context;
    size_t context_bytes; /* at least what it takes as text; see instance.c */
    struct step *steps;
    size_t step_count, step_size;
    struct signal_seen signals[EVENTS_MAX];
    size_t signal_count;
    int64_t version;          /* grows with every record */
    int current;              /* index of the step whose answer is awaited, or STEP_NONE */
    int state;                /* the state that is active or was last */
    enum status status;       /* of the machine */
    enum status compensation; /* NONE, RU, SU, FA, UN */
    bool is_undoing;          /* between TRIGGER and UNDONE */
    bool is_after_trigger;    /* a trigger was entered: from here on only forward to the end */
    int trigger;              /* which; STATE_NONE: the one that an operator or cancel stands for */
    int enter_after_undo;     /* state to enter again once its old activation is undone */
    int standing;             /* the state that it is stuck at and that has no step yet, or
                                 definition_end(); STATE_NONE: the last step says where */
    bool is_stuck, is_ended, cancel_requested, cancel_raised;
    int64_t started_us, changed_us;
    char *error_code, *error_message;
    json_t *input; /* the start parameters: the same Start again is recognised by them */
    json_t *audit; /* what operators decided: [{"at", "action", "comment"}]; NULL: nothing */
    char traceparent[56];
};

struct instance *instance_new(struct uuid id);
struct instance *instance_free(struct instance *instance);

/* What the engine made just now, or what instance_refuses() has nothing against. */
void instance_fold(struct instance *instance, const struct record *record);

/* Why a record that was read cannot be folded; NULL: it can. */
const char *instance_refuses(const struct instance *instance, const struct record *record);

/* Why what was read is no instance; NULL: it is one. instance_read() asks. */
const char *instance_flaw(const struct instance *instance);

/* Between two events an instance is under way, stuck or ended; else a record of it is missing. NULL: it is. */
const char *instance_limbo(const struct instance *instance);

enum phase instance_phase(const struct instance *instance);

/* An event is waited for, and no call is due. */
bool instance_is_waiting(const struct instance *instance);

/* NULL: none of that name has come. */
const struct signal_seen *instance_signal(const struct instance *instance, const char *event);

/* Of the context and what waits to get there as text, exactly. */
size_t instance_bytes(const struct instance *instance);

/* The pivot was entered and was not refused: no way back but a person's. */
bool instance_is_past_pivot(const struct instance *instance);

/* The context as entering a task will make it: with the id of the activation, and of the step that it
 * undoes (or STEP_NONE). A new reference. */
json_t *instance_context_ahead(const struct instance *instance, int state, struct uuid activation,
                               int undoes);

/* The whole of it as one JSON object, for parked rows, and back. */
void instance_write(const struct instance *instance, struct json_writer *writer);
enum error instance_read(const char *text, size_t bytes, definition_find find, void *find_context,
                         struct problem *problem, struct instance **ret_instance);

/* Of a Start, whatever the order of its input's keys: by it the same Start is known when the saga has
 * ended, or is parked. */
uint64_t start_fingerprint(const char *definition, const json_t *input);

/* What `show` prints, without needing the definition: one JSON object
 *   {"sagaId", "definition", "definitionHash", "phase", "status", "compensationStatus", "state",
 *    "errorCode", "errorMessage", "startedAtUs", "changedAtUs", "version", "nextAttemptUs" (or when
 *    the wait ends), "cancelRequested", "traceparent", "signals": [{"event", "version"}],
 *    "startFingerprint": "16 hex", "audit": [{"at", "action", "comment"}],
 *    "context": {...},
 *    "steps": [{"state", "activationId", "call", "status", "attempts", "startedAtUs", "endedAtUs",
 *               "isCompensation", "compensationStatus", "errorClass", "errorReason",
 *               "errorMessage"}]}
 * Members that are empty, 0 or false are left out; times are numbers. */
void instance_history(const struct instance *instance, struct json_writer *writer);

#endif
