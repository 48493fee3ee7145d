/* payment_signal.h -- Tells the saga of an order how its payment stands.
 *
 * A payment whose version is above its signaled_version is an unsent signal. It is sent right after
 * the COMMIT that made it, and again by a sweep until the saga has said that it has this version, or that
 * it has ended; a signal carries all registers, so only the newest matters. Nothing else is an answer:
 * what any other code means may change (a clock, a wrong address, a saga that is not there yet), so it is
 * sent again for ever, ever more rarely. But a saga that saga-svc does not know, and whose id is older than
 * ended sagas are kept, has ended and is forgotten: there is none left to hear it. Nothing is stored here.
 *
 * Thread    payment_signal_send: any. acknowledged() is called on the client's thread.
 * Memory    At most in_flight_max signals at once, each with its message.
 * Errors    What was not heard is a warning in the log; what goes unheard for long an error
 *           (payment_report_late). A payment that was taken, of a saga that did not end well, is an error
 *           at once: money of an order that is dead.
 */
#ifndef PAYMENT_SIGNAL_H
#define PAYMENT_SIGNAL_H

#include "account-svc/payment/payment.h"
#include "mesh/rpc/post.h"

enum { SIGNAL_TIMEOUT_US = 2 * 1000 * 1000, SIGNAL_ATTEMPTS = 3 };

/* What the saga itself says to a signal. */
enum signal_word {
    SIGNAL_UNHEARD,   /* any other answer, or none: it is to be told again */
    SIGNAL_STORED,    /* it has this version or a later one */
    SIGNAL_ENDED,     /* it has ended, and wants to hear no more */
    SIGNAL_FORGOTTEN, /* the same, so long ago that saga-svc does not know it any more */
};

/* What an answer to the signal of a version says. saga_id: the order's. */
struct signal_said {
    enum signal_word word;
    int32_t known_version; /* the highest that the saga has, while it hears more; or 0 */
    char status[8];        /* of a saga that has ended, "SU" when it went well */
};
struct signal_said signal_read(const struct rpc_result *result, int32_t version,
                               struct uuid saga_id, int64_t now_us);

struct payment_signal;

struct payment_signal_options {
    const char *address;     /* of the orchestrator */
    struct metrics *metrics; /* NULL: nothing is counted */
    size_t in_flight_max;
    void (*acknowledged)(void *owner, struct uuid payment_id, int32_t version,
                         int32_t known_version);
    void *owner;
};

enum error payment_signal_open(const struct payment_signal_options *options,
                               struct payment_signal **ret_signal);

/* The payment is read during the call. False when in_flight_max signals are under way. */
bool payment_signal_send(struct payment_signal *signal, const struct payment *payment);

/* Ends what is under way. NULL is fine. Returns NULL. */
struct payment_signal *payment_signal_close(struct payment_signal *signal);

#endif
