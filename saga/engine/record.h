/* record.h -- What happened to an instance, as it stands in the journal: one JSON line each.
 *
 * Records are the only thing that changes an instance (instance_fold). They hold deltas, never the
 * whole: about ten for a saga of four tasks.
 *
 * Thread    Plain data.
 * Memory    A struct records owns what its records point to; records_reset() forgets them all.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef SAGA_ENGINE_RECORD_H
#define SAGA_ENGINE_RECORD_H

#include "mesh/base/arena.h"
#include "mesh/base/json.h"
#include "mesh/base/uuid.h"
#include "saga/engine/definition.h"

enum record_kind {
    RECORD_START,    /* the instance exists: definition, input, trace */
    RECORD_ENTER,    /* a task is activated and its call is due */
    RECORD_ATTEMPT,  /* an attempt ended without an answer that settles it; the next has its time */
    RECORD_DONE,     /* the activation ended: status, what it adds to the context, or its error */
    RECORD_REOPEN,   /* an activation of unknown outcome is asked again by an operator */
    RECORD_TRIGGER,  /* from here on everything that was done is undone */
    RECORD_UNDONE,   /* the undoing ended */
    RECORD_STUCK,    /* a person must decide */
    RECORD_END,      /* final */
    RECORD_CANCEL,   /* somebody wishes it undone */
    RECORD_OPERATOR, /* a person decided */
    RECORD_SIGNAL,   /* news of an event that a wait names, waited for or not */
    RECORD_SETTLE,   /* a person says what came of an activation */
    RECORD_KIND_COUNT
};

/* Members that a kind does not use keep their defaults (0, -1 for indexes) and are not written. */
struct record {
    enum record_kind kind;
    struct uuid saga_id;
    int64_t number; /* of the saga's records, from 1: one that is missing is noticed */
    int64_t time_us;
    int state;              /* ENTER; TRIGGER: the trigger, or where to go on; STUCK: where it
                               stands; OPERATOR: to be entered once the old activation of it is
                               undone; STATE_NONE: none */
    int undoes;             /* ENTER: index of the step that it undoes, or -1 */
    int retries_step;       /* ENTER: index of the step whose place it takes; REOPEN, SETTLE: the
                               step */
    int retry_rule;         /* ENTER, ATTEMPT: which Retry entry paid for it, or -1 */
    struct uuid activation; /* ENTER; SIGNAL: its own id */
    int64_t next_us;        /* ENTER, ATTEMPT: when the next attempt is due, or a wait ends; 0: at
                               once */
    int64_t budget_us;      /* ENTER, REOPEN: when the budget ends; 0: attempts are counted only */
    enum status status;     /* DONE, SETTLE: of the step; STUCK, END: of the machine */
    enum status compensation; /* TRIGGER: RU, or nothing is to be undone; UNDONE; STUCK: UN, or as
                                 it was */
    bool is_unknown;          /* ATTEMPT: may have happened; DONE: nobody knows */
    bool is_caught;           /* DONE: a Catch took the error */
    bool was_called;          /* DONE: an attempt ended with it */
    bool is_long;             /* ENTER: the long budget, which makes stuck when it is spent */
    const char *class, *reason, *message; /* ATTEMPT, DONE: the error; STUCK, END: reason is the
                                             error code; OPERATOR: reason is what was decided */
    const char *event;                    /* SIGNAL: its name */
    int64_t version;                      /* SIGNAL */
    json_t *set;                          /* START: the input; DONE: what goes into the context;
                                             ENTER: the Input, evaluated, or NULL;
                                             SIGNAL: the payload;
                                             OPERATOR: an error, or NULL */
    const struct definition *definition;  /* START; its name and hash are written */
    const char *traceparent;              /* START */
};

struct records {
    struct record *items;
    size_t count, size;
    struct arena *arena;
};

void records_reset(struct records *records); /* forgets, keeps the memory */
void records_free(struct records *records);

/* A zeroed record of that kind at the end; valid until the next one is added. */
struct record *records_add(struct records *records, enum record_kind kind, struct uuid saga_id,
                           int64_t time_us);

/* The word of the kind: "enter". */
const char *record_word(enum record_kind kind);

/* One JSON object, no newline. Give an empty (reset) writer or one inside an array. */
void record_write(const struct record *record, struct json_writer *writer);

/* Finds the definition that a START names. NULL when it is not loaded. */
typedef const struct definition *(*definition_find)(void *context, const char *name,
                                                    const char *hash);

/* What says that it is of a later time was damaged: of the year 2112. */
#define RECORD_READ_MAX_US (INT64_C(1) << 52)

/* Reads one line back and adds it. ERR_BAD_REQUEST: not a record; ERR_NOT_FOUND: its definition is
 * not loaded. */
enum error record_read(struct records *records, const char *text, size_t bytes,
                       definition_find find, void *find_context, struct problem *problem);

#endif
