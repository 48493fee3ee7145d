/* payment_signal.h -- Tells the saga of an order how its payment stands.
 *
 * A payment whose version is above its signaled_version is an unsent signal. It is sent right after
 * the COMMIT that made it, and again by a sweep until the saga has acknowledged it; a signal carries
 * all registers, so only the newest matters. Nothing is stored here.
 *
 * Thread    payment_signal_send: any. acknowledged() is called on the client's thread.
 * Memory    At most in_flight_max signals at once, each with its message.
 * Errors    A saga that does not know the event is told no more. One that is not found may not have
 *           been started yet: it is told again, ever more rarely, for SIGNAL_GIVE_UP_US.
 */
#ifndef PAYMENT_SIGNAL_H
#define PAYMENT_SIGNAL_H

#include "account-svc/payment.h"
#include "mesh/wire/rpc_client.h"

enum { SIGNAL_TIMEOUT_US = 2 * 1000 * 1000, SIGNAL_ATTEMPTS = 3 };

#define SIGNAL_GIVE_UP_US (3600 * SECOND_US)

struct payment_signal;

struct payment_signal_options {
    const char *address; /* of the orchestrator */
    size_t in_flight_max;
    void (*acknowledged)(void *owner, struct uuid payment_id, int32_t version);
    void *owner;
};

enum error payment_signal_open(const struct payment_signal_options *options,
                               struct payment_signal **ret_signal);

/* The payment is read during the call. False when in_flight_max signals are under way. */
bool payment_signal_send(struct payment_signal *signal, const struct payment *payment);

/* Ends what is under way. NULL is fine. Returns NULL. */
struct payment_signal *payment_signal_close(struct payment_signal *signal);

#endif
