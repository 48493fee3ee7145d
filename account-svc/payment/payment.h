/* payment.h -- Payments at providers: the registers, the tasks, and the rules of both. No I/O here.
 *
 * A payment has two registers that only grow.
 *   observed   the greatest of all observations, whatever their source and order
 *   claim      what the order made of it: OPEN -> TAKEN | ABANDONED, TAKEN -> RETURNED
 * A success that the provider has paid back already is not taken: the claim is ABANDONED.
 * A refund is due exactly when observed = SUCCEEDED and claim is ABANDONED or RETURNED. Refunds are a
 * set of ids with amounts. An observation of another amount or currency moves nothing and makes a
 * query due; when the provider's own books differ too, the payment is quarantined: a person looks, and
 * settles it (payment_settle), which pays back what the provider says it took.
 *
 * Each payment has one task row: what must be asked of its provider next, and when (payment_plan.c).
 * A task is leased before it is done and what was learned comes back as an op (payment_learn.c), so
 * one task of a payment is under way at a time and a crash leaves a lease that runs out.
 *
 * What the program cannot see to by itself is the payment's trouble: an operator finds it in sagactl
 * payments, with its word (payment_trouble.c).
 *
 * Thread    Plain data.
 * Memory    What a row points to lives in the arena given.
 * Units     *_minor minor units of the payment's currency; *_us microseconds since 1970 UTC.
 */
#ifndef PAYMENT_H
#define PAYMENT_H

#include "mesh/base/clock.h"
#include "mesh/base/json.h"
#include "mesh/store/op.h"
#include "mesh/store/reader.h"

/* The numbers of its tables in the program's list, in the order of loading, locking and saving. */
enum payment_table {
    PAYMENT_TABLES_BEGIN = 4, /* the ledger's are before */
    PAYMENT_INBOX = PAYMENT_TABLES_BEGIN,
    PAYMENT_PAYMENT,
    PAYMENT_TASK,
};

enum {
    PAYMENT_DESCRIPTION_BYTES_MAX = 200,
    PAYMENT_URL_BYTES_MAX = 2000,
    PAYMENT_RETURN_URL_BYTES_MAX = 500,
    PAYMENT_REFERENCE_BYTES_MAX = 200,
    PAYMENT_COMMENT_BYTES_MAX = 200,
    PAYMENT_FAILURE_BYTES_MAX = 190, /* as an order's detail */
    PAYMENT_REFUNDS_MAX = 32, /* of the provider's own back office, and the last place for ours */
    PAYMENT_LISTED_MAX = 100,
    PROVIDERS_MAX = 16,
    PROVIDER_NAME_BYTES_MAX = 32,
    WEBHOOK_BYTES_MAX = 256 << 10,
    WEBHOOK_HEADERS_MAX = 100,
    EVENT_ID_BYTES_MAX = 200,
    EXPIRES_SECONDS_MIN = 60,
    EXPIRES_SECONDS_MAX = 86400,
};

/* As in the payment table and in the .proto. */
enum observed {
    OBSERVED_NONE,
    OBSERVED_CREATED,
    OBSERVED_PENDING,
    OBSERVED_AUTHORIZED,
    OBSERVED_FAILED, /* from here on nothing but a late success follows */
    OBSERVED_EXPIRED,
    OBSERVED_CANCELED,
    OBSERVED_SUCCEEDED,
    OBSERVED_COUNT
};

enum claim { CLAIM_NONE, CLAIM_OPEN, CLAIM_TAKEN, CLAIM_ABANDONED, CLAIM_RETURNED, CLAIM_COUNT };

/* The canonical words: of signals, events and logs. */
const char *observed_word(enum observed observed);
const char *claim_word(enum claim claim);

/* Why an operator is called. Of two the one that stands first here is told. */
enum trouble {
    TROUBLE_NONE,
    TROUBLE_QUARANTINED,    /* the provider's books have another amount or currency */
    TROUBLE_REFUND_REFUSED, /* the provider will not pay back what an order does not take */
    TROUBLE_REFUND_UNANSWERED, /* a refund was sent long ago, and the provider does not say that it was made */
    TROUBLE_UNREADABLE, /* what the provider answers cannot be read, several times in a row */
    TROUBLE_UNANSWERED, /* the checkout is over, and the provider does not say how it ended */
    TROUBLE_STILL_OPEN, /* the order is dead, the checkout over, and the provider keeps it open */
    TROUBLE_COUNT
};
const char *trouble_word(enum trouble trouble);    /* "QUARANTINED"; of none: "" */
const char *trouble_because(enum trouble trouble); /* a sentence for the operator */

/* What a provider's word says. */
struct status_word {
    const char *word;
    enum observed observed;
    bool is_paid_back; /* all of it: it was paid, and that money is nobody's to take */
};

/* The words of most providers and of events; ends with a row of zeros. */
extern const struct status_word status_words[];

/* NULL: unheard of. */
const struct status_word *status_find(const struct status_word words[], const char *word);

struct payment {
    struct batch_record record; /* first; fingerprint 0: a tombstone, abandoned before it arrived */
    struct uuid order_id;
    const char *provider;
    int64_t amount_minor;
    const char *currency;
    const char *description;
    const char *return_url;
    int32_t observed; /* enum observed */
    int32_t claim;    /* enum claim */
    bool is_quarantined;
    bool needs_person; /* it has a trouble: money may have to go back, and we cannot see to it */
    int32_t trouble;   /* enum trouble */
    int64_t abandon_asked_us; /* 0: not asked. From then on no create is sent and no URL is shown */
    int32_t version;
    int32_t signaled_version; /* what the saga has acknowledged */
    int64_t signal_due_us;    /* when it is told again, until then */
    const char *url;       /* where the customer pays; "" before it is known, and once abandoned */
    const char *reference; /* the provider's own name for it */
    /* when the provider's checkout ends: it is asked of until then, and once after */
    int64_t expires_at_us;
    /* until then the order waits for it; 0: of rows that are older than this column */
    int64_t ends_at_us;
    /* Why there was no way to pay: a word for programs, a sentence for persons; "" of most. */
    const char *failure_reason, *failure_detail;
    const char *refunds;    /* one a line, "amount_minor refund_id", in the order of the ids */
    int64_t occurred_at_us; /* the provider's time of what was observed last; 0: not said */
    int64_t created_at_us, changed_at_us;
    const char *traceparent;
    /* of a quarantined one: what the provider took; 0: nothing that we know of */
    int64_t booked_minor;
    const char *booked_currency;
    int64_t settle_asked_us; /* by a person; 0: never */
    const char *settle_comment;
};

struct refunded {
    const char *id;
    int64_t amount_minor;
};

/* The set as an array in arena. */
const struct refunded *payment_refunds(const struct payment *payment, struct arena *arena,
                                       size_t *ret_count);

/* Until when it can be paid: no later than its order waits, also when its provider's checkout lives longer. */
int64_t payment_expires_us(const struct payment *payment);

/* Until when money may come of it: when its provider's checkout ends, but no earlier than its order's end, and
 * no later than CHECKOUT_US_MAX after it, so that a provider's time puts off neither the last query nor the
 * operator. */
#define CHECKOUT_US_MAX (7 * DAY_US)
int64_t payment_checkout_end_us(const struct payment *payment);

/* What came of it without a success, for its order: "" while it may still be paid, and when the registers say
 * it all. */
const char *payment_failure_reason(const struct payment *payment);
const char *payment_failure_detail(const struct payment *payment);

bool observed_is_final(int32_t observed);
bool payment_is_tombstone(const struct payment *payment);
bool payment_refund_is_due(
    const struct payment *payment); /* the rule, or a person's word; done or not */
bool payment_refund_is_open(const struct payment *payment, struct arena *arena); /* due, not done */

/* What was paid, or booked, and has not gone back, whoever gave it: what our refund asks for. */
int64_t payment_refund_left(const struct payment *payment, struct arena *arena);
const char *payment_refund_currency(const struct payment *payment);

/* ---- what is heard ---- */

/* Only a query is the provider's own books. */
enum source { SOURCE_WEBHOOK, SOURCE_CREATE, SOURCE_QUERY, SOURCE_CANCEL, SOURCE_REFUND };

/* What one source says. Fields that it does not speak of are 0 and NULL. */
struct observation {
    enum source source;
    enum observed observed;
    bool is_paid_back; /* said so, whatever the refunds add up to */
    int64_t amount_minor;
    const char *currency;
    const char *url, *reference;
    int64_t expires_at_us, occurred_at_us;
    struct refunded refunds[PAYMENT_REFUNDS_MAX];
    size_t refund_count;
    /* Of an answer to a task, of any outcome; NULL: none. */
    const char *code, *words; /* the provider's own, cleaned: why it did not do it */
    bool is_repeat;           /* it did this before, and does not say again what came of it */
    const char *unreadable;   /* why a good status says nothing all the same */
};

/* What an observation did; version has grown when any but the last two is set. */
enum change {
    CHANGE_OBSERVED = 1,
    CHANGE_CLAIM = 2,
    CHANGE_REFUNDS = 4,
    CHANGE_OTHER = 8,           /* url, expiry, reference, quarantine */
    CHANGE_WANTS_QUERY = 16,    /* not to be believed by itself */
    CHANGE_REFUND_REFUSED = 32, /* each time that the provider says no */
};

/* The one reducer: webhook, query, create's answer, all the same. */
unsigned payment_observe(struct payment *payment, const struct observation *observation,
                         struct arena *arena, int64_t now_us);

/* A new version of it. */
void payment_touched(struct payment *payment, int64_t now_us);

/* Claims: a table in payment.c. */
enum claim_event {
    CLAIM_SUCCESS,   /* a success was observed */
    CLAIM_PAID_BACK, /* a success was observed, and that all of it had gone back */
    CLAIM_GIVE_UP,   /* Abandon is decided: no success was seen */
    CLAIM_RETURN,    /* the saga's Refund */
    CLAIM_EVENT_COUNT
};
enum claim claim_after(enum claim claim, enum claim_event event);

/* The provider will not make it, in its words. */
void payment_refused(struct payment *payment, const char *code, const char *words,
                     struct arena *arena);

/* The provider has it, and will not say again where it can be paid: the customer cannot, so it is given up at
 * once. */
unsigned payment_page_lost(struct payment *payment, int64_t now_us);

/* The wish of Abandon; the claim stays OPEN until it is decided; and the decision. */
unsigned payment_abandon(struct payment *payment, int64_t now_us);
unsigned payment_decide_abandon(struct payment *payment, int64_t now_us);

/* The saga's Refund: a taken payment is returned; an open one is abandoned. */
unsigned payment_return(struct payment *payment, int64_t now_us);

/* From here on sagactl payments lists it, unless it does so for something graver; and no longer. The
 * caller of either makes the change a version, with payment_touched(). */
unsigned payment_call_person(struct payment *payment, enum trouble trouble);
void payment_need_nobody(struct payment *payment);

/* ---- what is to be asked: payment_plan.c ---- */

enum task_kind {
    TASK_NONE,
    TASK_CREATE,
    TASK_QUERY,
    TASK_CANCEL,
    TASK_REFUND,
    TASK_QUERY_REFUND, /* how our own refund stands */
    TASK_KIND_COUNT
};
const char *task_word(enum task_kind kind);

/* Whose errand a task is: the provider's lane (provider_lane.h) has a breaker for each, and those for which a
 * customer waits go first. As in provider_task.errand. */
enum errand {
    ERRAND_CREATE, /* the customer waits for the page to pay at */
    ERRAND_LOOK,   /* the customer looks at the order, or a hint said that it was paid */
    ERRAND_REFUND, /* from here on no customer waits */
    ERRAND_ASK,
    ERRAND_CANCEL,
    ERRAND_COUNT
};
const char *errand_word(enum errand errand);

/* What is known of the create at the provider. */
enum create_state {
    CREATE_UNSENT,
    CREATE_MAYBE,   /* sent; no answer yet */
    CREATE_AGAIN,   /* sent, and the provider did not know of it: sent again under the same key */
    CREATE_THERE,   /* the provider has it */
    CREATE_REFUSED, /* the provider will not have it */
    CREATE_MAYBE_AGAIN, /* sent again; no answer yet */
    CREATE_DOUBTED,     /* refused when it was sent again: an earlier one may still have arrived */
    CREATE_NEVER,    /* abandoned, and the provider knew nothing of it after its checkout's end */
    CREATE_PAGELESS, /* the provider has it, and did not say where it is paid: sent again to hear it */
    CREATE_PAGE_ASKED, /* sent again for that; no answer yet */
};

/* What is known of our refund at the provider, while it is not in the set of refunds. */
enum refund_state {
    REFUND_READY,    /* it may be sent: it was not yet, or the provider did not know of it */
    REFUND_IN_DOUBT, /* sent; how it stands is asked before it is sent again */
    REFUND_DENIED,   /* the provider said no; its books say what is left to refund */
    REFUND_UNSAID,   /* how it stands was asked in vain: the books list what went back */
};

/* The steps by which a payment whose order gave it up ends at the provider. A cancel is never repeated
 * before a query has said what came of it. */
enum abandon_step {
    ABANDON_QUERY,
    ABANDON_CANCEL,
    ABANDON_QUERY_AGAIN,
    ABANDON_QUERY_GONE /* a cancel found nothing to cancel of what had been there */
};

#define TASK_LEASE_US (15 * SECOND_US) /* longer than a request may take, see provider_thread.h */
#define TASK_NEVER_US INT64_MAX
#define ABANDON_GIVE_UP_US (55 * SECOND_US) /* a sweep ends it within the 60 s promised */
#define WATCHED_US (30 * SECOND_US)
#define WATCHED_AGAIN_US (5 * SECOND_US) /* a watcher who says so more often changes nothing */
#define QUERY_GAP_MIN_US (2 * SECOND_US) /* hints make no more than this of a payment's queries */
#define EXPIRY_MARGIN_US                                                                           \
    (60 * SECOND_US)   /* the last query comes this long after the checkout's end, and the cancel */
#define GONE_US DAY_US /* this long after it, that what may be there is not is believed */

struct task {
    struct uuid payment_id;
    const char *provider;
    int32_t kind;   /* enum task_kind */
    int32_t errand; /* enum errand */
    int64_t due_us; /* while it is leased: when the lease runs out */
    bool is_leased;
    int32_t lease;    /* number of the newest lease */
    int32_t attempts; /* in a row that brought nothing; a cancel counts with the query after it */
    int64_t tried_us; /* when the last of them ended: the backoff is counted from here */
    int32_t create_state, abandon_step, refund_state;
    int32_t polls; /* queries answered by the poll plan */
    bool query_wanted, last_query_done;
    bool is_by_hint; /* the task is the query that a hint wants: the plan's own waits meanwhile */
    bool is_hint_asked;    /* the query that is leased answers the hint that had come before */
    int32_t hint_attempts; /* in a row, in vain, for the hint that waits */
    int64_t queried_at_us, watched_until_us;
    int32_t unread;          /* answers in a row that could not be read */
    int64_t silent_since_us; /* since then the provider says nothing of how it stands; 0: it does */
    int64_t refund_sent_us;  /* when our refund was first sent; 0: it was not */
    int64_t last_query_us;   /* the last query comes no earlier; 0: only the checkout says when */
    int64_t give_up_us;      /* when an Abandon is decided without the provider; 0: none waits */
    const struct pace *pace; /* its provider's; no column: filled when the row is found */
};

/* So many queries at this distance, then the next row; count 0 ends it. */
struct poll_step {
    int32_t count;
    int64_t gap_us;
};

/* How often a provider wants to be asked of a payment. */
struct pace {
    int64_t watched_gap_us;          /* while somebody looks at the order */
    const struct poll_step *overdue; /* else, from the moment the provider has it */
};
extern const struct pace payment_pace; /* of most */

/* Decides an Abandon that can be decided, and sets the task that follows from the registers. Called
 * after whatever changed either. Returns changes of the claim. */
unsigned payment_plan(struct payment *payment, struct task *task, struct arena *arena,
                      int64_t now_us);

/* May it be at the provider, for all we know? */
bool task_may_be_there(const struct task *task);

/* From then on a query that is answered is the last one, when it finds the payment over. */
int64_t payment_last_query_us(const struct payment *payment, const struct task *task);

/* ---- what tasks bring: payment_learn.c ---- */

/* What follows a task of which nothing certain was heard: no answer, one that says nothing, a lease that
 * ran out. assume() is done when the task is leased, before anything is sent, so a crash leaves the
 * payment as an unknown answer does. test_account_payment.c proves each row. */
struct unsure_rule {
    void (*assume)(struct task *task);
    enum task_kind next;
    enum trouble for_long; /* what an operator is called for when it stays so */
    const char *because;
};
const struct unsure_rule *task_unsure(enum task_kind kind);

/* Takes the task, if it is due: what to do, or TASK_NONE. A lease that ran out is an attempt that
 * ended unknown. */
enum task_kind payment_lease(struct payment *payment, struct task *task, struct arena *arena,
                             int64_t now_us);

/* How a request to a provider ended. */
enum outcome {
    OUTCOME_UNKNOWN,   /* no answer, or one that says nothing: it may have happened */
    OUTCOME_KNOWN,     /* the provider says how it stands */
    OUTCOME_NOT_FOUND, /* the provider does not know of it */
    OUTCOME_REFUSED,   /* it was not done and will not be */
    OUTCOME_COUNT
};
const char *outcome_word(enum outcome outcome);

/* What a task brought. A lease that is not the newest any more still may have seen something. */
unsigned payment_learn(struct payment *payment, struct task *task, int32_t lease,
                       enum outcome outcome, const struct observation *observation,
                       struct arena *arena, int64_t now_us);

/* ---- when an operator is called: payment_trouble.c ---- */

enum { TROUBLE_UNREAD_MIN = 5 };             /* answers in a row */
#define TROUBLE_REFUND_US (3600 * SECOND_US) /* since our refund was sent */
#define TROUBLE_SILENT_US (3600 * SECOND_US) /* of silence, after the checkout's end */
#define TROUBLE_OPEN_US DAY_US               /* after the checkout's end */

/* payment_plan(), and then the troubles that come and go with what is known and with time: a change of them
 * is a version of its own. */
unsigned payment_replan(struct payment *payment, struct task *task, struct arena *arena,
                        int64_t now_us);

/* ---- what persons and time decide: payment_learn.c ---- */

/* A person wants back what the provider took: its books are asked, and what is left is refunded. */
unsigned payment_settle(struct payment *payment, struct task *task, const char *comment,
                        int64_t now_us);

/* The Abandon's time is over. */
unsigned payment_give_up(struct payment *payment, struct task *task, struct arena *arena,
                         int64_t now_us);

/* ---- what others are told ---- */

#define SIGNAL_FRESH_US (2 * SECOND_US) /* younger ones are still under way */
#define SIGNAL_AGAIN_US (60 * SECOND_US)
#define SIGNAL_AGAIN_MAX_US (3600 * SECOND_US)

/* When a signal that is sent now is due again: 2, 4, 8 ... seconds after the change, then each minute;
 * after an hour more rarely, in the end each hour, for ever. */
int64_t payment_signal_due_us(const struct payment *payment, int64_t now_us);

/* Its newest version counts as not acknowledged from here on: the commit is followed by a signal, and the
 * sweep repeats it. */
void payment_tell_again(struct payment *payment, int64_t now_us);

/* All registers as JSON: what the saga is signaled. */
void payment_registers(const struct payment *payment, struct arena *arena,
                       struct json_writer *writer);
struct event;
/* Fills a "payment.observed" event; its payload is in writer. */
void payment_event(const struct payment *payment, const char *status, struct arena *arena,
                   struct json_writer *writer, struct event *ret_event);

#endif
