/* engine.h -- The saga engine: what follows from what happened. Pure: no I/O, no clock, no chance.
 *
 *     decide   an event -> records, folded into the instance as they are made
 *     fold     (instance_fold) the same records into a copy give an equal instance
 *     due      what the instance wants done now, and when it wants to be looked at again
 *
 * The caller writes the records of its tick in one transaction, and only then sends what is due.
 * Recovery: fold everything, give each open instance ENGINE_RECOVERED, write what that makes, and do
 * what is due. The engine does not know which attempts are under way: due() names the current call
 * until its answer came in, and the caller sends an (activation, attempt) once.
 *
 * Thread    An instance belongs to one thread; everything else is plain data.
 * Memory    Records own what they point to. An event's strings and JSON are the caller's; nothing of
 *           them is kept but references to JSON values, which must not be changed afterwards. A due
 *           request is the caller's to decref.
 * Errors    ERR_OK, or why the event was refused (nothing was recorded then).
 * Units     *_us microseconds since 1970 UTC, by the caller's clock, which may be
 *           behind after a restart by RECOVERED_SKEW_US; of one instance time never runs backwards.
 */
#ifndef SAGA_ENGINE_ENGINE_H
#define SAGA_ENGINE_ENGINE_H

#include "saga/engine/instance.h"

/* How far the clock may be behind after a restart, so that a call whose time has not come yet may be
 * under way all the same. */
#define RECOVERED_SKEW_US (60 * INT64_C(1000000))

enum engine_event_kind {
    ENGINE_START,
    ENGINE_ANSWER,    /* an attempt ended, one way or the other */
    ENGINE_DUE,       /* time has passed: a wait may be over */
    ENGINE_SIGNAL,    /* news of an event */
    ENGINE_RECOVERED, /* the caller restarted: an attempt may have been under way */
    ENGINE_CANCEL,
    ENGINE_RETRY,      /* operator */
    ENGINE_COMPENSATE, /* operator */
    ENGINE_SETTLE,     /* operator */
    ENGINE_EVENT_KIND_COUNT
};

/* What an attempt came to (state-language 1.13). */
enum outcome {
    OUTCOME_OK,
    OUTCOME_REFUSED,    /* an answer: nothing happened, and asking again will not change it */
    OUTCOME_NOT_DONE,   /* nothing happened, ask again */
    OUTCOME_UNKNOWN,    /* it may have happened */
    OUTCOME_THROWN,     /* a participant's own class: Seata's rules */
    OUTCOME_IMPOSSIBLE, /* it was not asked, and cannot be: the method is gone. The saga is stuck */
    OUTCOME_COUNT
};

struct answer {
    struct uuid activation;
    enum outcome outcome;
    json_t *result;      /* OK: the response; NULL is null */
    const char *reason;  /* "NO_STOCK"; may be NULL */
    const char *message; /* a sentence; may be NULL */
    bool is_stored;      /* REFUSED: the recorded answer of this id */
    const char *class;   /* THROWN: "java.lang.IllegalStateException" */
    const char *const
        *causes; /* THROWN: classes of its cause chain, NULL at the end; may be NULL */
};

/* Newest wins: a version that is not above the last one of its event changes nothing. */
struct signal_news {
    struct uuid id;
    const char *event;
    int64_t version; /* from 1 */
    json_t *payload; /* an object */
};

/* What an operator knows of the step that a saga is stuck at, or decides about the saga. */
enum settlement {
    SETTLED_DONE = 1, /* it happened; a wait's event came; an undo undid */
    SETTLED_REFUSED,  /* it did not happen and will not */
    SETTLED_ENDED,    /* the saga ends as it stands */
};

struct engine_event {
    enum engine_event_kind kind;
    const struct definition *definition; /* START */
    json_t *input;                       /* START: an object */
    const char *traceparent;             /* START: may be NULL */
    struct answer answer;                /* ANSWER */
    struct signal_news signal;           /* SIGNAL */
    const char *comment;        /* RETRY, COMPENSATE: who and why; may be NULL. SETTLE: not empty */
    enum settlement settlement; /* SETTLE */
    json_t *output;             /* SETTLED_DONE: what the state's Output would set, or NULL */
    /* how far now_us is ahead of the world's time, which a Deadline is in; 0: not */
    int64_t ahead_us;
};

/* ANSWER, DUE and RECOVERED are always ERR_OK; an answer of an activation that is not current is
 * ignored. START of an instance that exists: ERR_OK and nothing new when definition and input are the
 * same, else ERR_ID_REUSED. CANCEL: ERR_TOO_LATE once the pivot was entered or the saga ended.
 * RETRY, COMPENSATE and SETTLE: ERR_REFUSED with reason NOT_STUCK; COMPENSATE: ERR_TOO_LATE; SETTLE:
 * ERR_REFUSED with reason NO_STEP when it is not stuck at a step, ERR_BAD_REQUEST. START with an input that
 * is not an object, or too big: ERR_BAD_REQUEST. SIGNAL: ERR_REFUSED with reason UNKNOWN_EVENT when no
 * wait of the definition names it, ERR_ID_REUSED, ERR_BAD_REQUEST; when the saga has ended ERR_OK. */
enum error engine_decide(struct instance *instance, const struct engine_event *event,
                         int64_t now_us, struct records *records, struct problem *problem);

struct call_due {
    struct uuid activation;
    int attempt; /* 1 for the first */
    const char *service, *method;
    json_t *request; /* Input[0] with "requestId"; new reference */
    json_t *inputs;  /* all of Input, evaluated, for participants that take more than one argument;
                        NULL when the state has no Input; new reference */
    int64_t timeout_us;
    bool is_read; /* it changes nothing, so it needs no id */
};

struct due {
    struct call_due calls[1]; /* one at a time, before Fork exists */
    size_t call_count;
    int64_t look_again_us; /* when something will be due that is not now; 0: only an event helps */
};

/* due_free() gives back what *ret_due holds. */
void engine_due(const struct instance *instance, int64_t now_us, struct due *ret_due);
void due_free(struct due *due);

/* Cheaper, to skip instances with nothing to send. */
bool engine_is_call_due(const struct instance *instance, int64_t now_us);

#endif
