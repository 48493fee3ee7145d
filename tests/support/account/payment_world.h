/* payment_world.h -- A payment, its task, and its provider as it is in truth: what models of payments play
 * with. The provider keeps one payment, does what it is asked, and can leave requests of a kind unanswered.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_PAYMENT_WORLD_H
#define TESTS_SUPPORT_ACCOUNT_PAYMENT_WORLD_H

#include "account-svc/payment/payment.h"
#include "tests/support/check.h"

#define START_US (INT64_C(1800000000) * SECOND_US)

#define EXPIRES_US (START_US + 600 * SECOND_US)

enum act {
    ACT_PENDING, /* webhooks */
    ACT_FAILED,
    ACT_EXPIRED,
    ACT_SUCCEEDED,
    ACT_WRONG_AMOUNT,
    ACT_PAID_BACK,      /* it succeeded, and all of it had gone back; */
    ACT_PAID_BACK_PART, /* some of it */
    ACT_ABANDON,
    ACT_RETURN,
    ACT_CREATED, /* the answer to the create that is under way */
    ACT_COUNT,
    ACT_HINT = ACT_COUNT, /* something that is not to be believed by itself */
};

enum refund_trouble {
    REFUND_WELL,
    REFUND_ANSWER_LOST,  /* it is done, and we do not hear of it */
    REFUND_REQUEST_LOST, /* nothing is done */
    REFUND_OFFICE_FIRST, /* some of it went back before, and only the books say so */
    REFUND_SLOW,         /* accepted at first, and done later */
    REFUND_TROUBLE_COUNT
};

/* What the provider leaves unsaid of the requests of a kind. */
enum silence_how {
    SILENCE_NOT_DONE, /* no answer, and nothing was done */
    SILENCE_DONE,     /* no answer, and it was done */
    SILENCE_LEASE,    /* it was done, and the program that asked is gone: the lease runs out */
    SILENCE_HOW_COUNT
};

struct silence {
    enum silence_how how;
    int left; /* so many requests; SILENCE_FOR_EVER: all */
};

enum { SILENCE_FOR_EVER = 1 << 30 };

/* The provider's side, as it is in truth. */
struct world {
    bool is_there;
    struct silence silences[TASK_KIND_COUNT];
    int64_t pays_at_us; /* the customer pays, and no webhook tells; 0: never */
    bool forgets;       /* of what was cancelled it says that it is not there */
    bool hides_page;    /* only the first answer to the create tells where it can be paid */
    enum observed truth;
    int refunds;                        /* of ours, made */
    int64_t ours_minor, others_minor;   /* that went back */
    enum refund_trouble refund_trouble; /* what happens to our first request */
    bool is_trouble_over;
    bool books_differ;
};

struct state {
    struct payment payment;
    struct task task;
    struct world world;
    int64_t now_us;
    enum observed greatest; /* said so far, with the right amount */
    int64_t decided_us;     /* when an asked-for Abandon was decided */
    enum task_kind unsure;  /* the task of which nothing certain was heard last; TASK_NONE: none */
};

/* check's own assertions write to a pipe each time: a million of them would be half the test. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("not so: %s", #condition);                                                \
    } while (0)

extern struct arena *arena; /* of the life that is played */

struct state state_new(void);

void act(struct state *state, enum act what);
void check_state(const struct state *state);

/* One step of what the provider thread and the sweep do; false when nothing is left before until_us. */
bool step(struct state *state, int64_t until_us);

#endif
