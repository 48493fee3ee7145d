/* turn.h -- One call of engine_decide() on its way: what its parts share. For this folder only.
 *
 * A turn runs from an event to the next time the instance has to wait. Each part names the state to
 * go on with; TURN_WAITS says that there is nothing more to do now.
 *
 *   engine.c    events, and the walk from state to state
 *   task.c      activations: entering and ending, errors and who catches them
 *   attempt.c   answers, retries, budgets
 *   wait.c      waiting for an event, and the signals that bring news of it
 *   undo.c      the trigger, and undoing one step after the other
 *   operator.c  what a person decides
 */
#ifndef SAGA_ENGINE_TURN_H
#define SAGA_ENGINE_TURN_H

#include "saga/engine/engine.h"
#include "saga/engine/exception.h"

enum {
    TURN_WAITS = -2, /* beside STATE_NONE, which ends the machine */
    MESSAGE_BYTES_MAX = 256,
};

struct turn {
    struct instance *instance;
    int64_t now_us;
    int64_t ahead_us; /* of the world's time */
    struct records *records;
    int standing; /* the state that is being entered, as long as no step of it is recorded; or STATE_NONE */
};

/* An error on its way to a Catch. */
struct trouble {
    const char *class; /* NULL: none */
    const char *reason, *message;
};

/* How an activation ended. */
struct ending {
    enum status status;
    struct trouble trouble;
    json_t *set;     /* taken; NULL: nothing */
    bool was_called; /* an attempt brought it */
    bool is_unknown;
    bool is_spent; /* its budget, or its Retry entries */
};

/* turn_record() makes a record, turn_fold() folds it once it is filled in. */
struct record *turn_record(struct turn *turn, enum record_kind kind);
void turn_fold(struct turn *turn, const struct record *record);

/* A copy that lives as long as the records: valid UTF-8, cut at MESSAGE_BYTES_MAX. NULL stays NULL. */
const char *turn_text(struct turn *turn, const char *text);

int turn_stuck(struct turn *turn, const char *code, const char *message);
int turn_stuck_at(struct turn *turn, int state); /* a broken one */
/* Ends by the rules of the machine's status, or makes stuck. */
int turn_end(struct turn *turn, bool is_failed, const char *code, const char *message);

const struct state *turn_state(const struct turn *turn, int state);

/* task.c: the activation under way. */
const struct step *turn_step(const struct turn *turn);

/* task.c */
int task_enter(struct turn *turn, int state); /* for the first time, going forward */
int task_enter_again(struct turn *turn, int step_index, int retry_rule, int64_t next_us);
int task_reopen(struct turn *turn, int step_index);
int task_end(struct turn *turn, const struct ending *ending);
int task_end_cancelled(struct turn *turn, bool was_called);
/* An expression of its state cannot be evaluated. */
int task_end_badly(struct turn *turn, enum status status, bool was_called, const char *reason,
                   const char *message);
int task_cancel_waiting(struct turn *turn); /* raises Canceled where no call is under way */
/* Why the activation under way cannot go on with any answer; NULL: it can. Then task_stop(). */
const char *task_impossible(const struct instance *instance);
int task_stop(struct turn *turn, bool is_unknown, const char *because);
/* Where an error leads to: the Catch that takes it, or NULL, what follows where no Catch does. */
int task_route(struct turn *turn, const struct catch_rule *rule, const struct trouble *trouble);
/* Which Catch takes a class; NULL: none does. */
const struct catch_rule *task_catch(const struct state *state, const char *class);
/* May an activation be asked again under its id, or have participants forgotten ids as old as that? */
bool task_may_be_reopened(const struct turn *turn, const struct step *step);
int task_raise(struct turn *turn, const char *class, const char *reason, const char *message);
struct uuid task_activation_id(const struct turn *turn, int state);
bool task_may_be_cancelled(const struct turn *turn);
/* What `_error_` is in the context. */
json_t *task_error_tree(const struct trouble *trouble, const char *state);
int task_activate(struct turn *turn, int state, int undoes, int retries_step, int retry_rule,
                  int64_t next_us);

/* attempt.c */
int attempt_answer(struct turn *turn, const struct answer *answer);
void attempt_recovered(struct turn *turn);

/* operator.c */
enum error operator_retry(struct turn *turn, const char *comment, struct problem *problem,
                          int *ret_next);
enum error operator_compensate(struct turn *turn, const char *comment, struct problem *problem,
                               int *ret_next);
enum error operator_settle(struct turn *turn, const struct engine_event *event,
                           struct problem *problem, int *ret_next);

/* wait.c */
int wait_enter(struct turn *turn, int state);
int wait_enter_again(struct turn *turn, int step_index); /* an operator's retry */
int wait_look(struct turn *turn);                        /* is the current wait over? */
enum error wait_signal(struct turn *turn, const struct signal_news *news, struct problem *problem,
                       int *ret_next);

/* undo.c */
int undo_begin(struct turn *turn, int trigger, bool is_persons_wish);
int undo_resume(struct turn *turn);
/* What is left to be undone, the newest first; NULL: nothing. Then undo_left() undoes it, and goes on with
 * that state. */
const struct state *undo_find_left(const struct instance *instance);
int undo_left(struct turn *turn, int then);
int undo_step(struct turn *turn, int step_index);
int undo_step_done(struct turn *turn, int step_index); /* its undoing ended; going on or stuck */

#endif
