/* order_saga.h -- Asks the orchestrator for the saga of an order, and passes on that it be undone.
 *
 * An order that is PENDING and has no saga is the request to start one. It is sent at once after
 * Place's COMMIT (main.c), and again by the sweep (order_sweep.h) until the order moves; a saga that
 * has been started already answers OK. Nothing is stored here: what is lost is asked for again.
 *
 * Thread    order_saga_send: any. refused() is called on the client's thread.
 * Memory    At most in_flight_max requests at once, each with its message.
 * Errors    A definite refusal of Start goes to refused(): nobody will drive this order. Trouble, an
 *           unknown outcome, and BUSY are logged; the sweep comes back. A refused Cancel is the
 *           saga's to refuse: the order's status will tell.
 */
#ifndef ORDER_SAGA_H
#define ORDER_SAGA_H

#include "mesh/base/json.h"
#include "mesh/rpc/post.h"
#include "order-svc/order.h"

enum { SAGA_CALL_TIMEOUT_US = 2 * 1000 * 1000, SAGA_CALL_ATTEMPTS = 3 };

struct order_saga;

struct order_saga_options {
    const char *address;
    struct metrics *metrics; /* NULL: nothing is counted */
    size_t in_flight_max;
    void (*refused)(void *owner, struct uuid order_id, const char *reason, const char *detail);
    void *owner;
};

enum error order_saga_open(const struct order_saga_options *options, struct order_saga **ret_saga);

/* Sends Start, and after it Cancel when the order's cancel_wanted is set. The order is read during
 * the call. False when in_flight_max requests are under way: nothing was sent. */
bool order_saga_send(struct order_saga *saga, const struct order *order);

/* Ends what is under way. NULL is fine. Returns NULL. */
struct order_saga *order_saga_close(struct order_saga *saga);

/* The id of the wish to cancel an order: always the same, so that repeating it is one wish. Of an order
 * that is nearly older than answers are kept it is another one each day, since so old an id is refused;
 * a second wish changes nothing. */
struct uuid order_saga_cancel_id(struct uuid order_id, int64_t now_us);

/* Is this answer a decision of the orchestrator that there is and will be no such saga? */
bool order_saga_is_refusal(const struct rpc_result *result);

/* The start parameters of an order's saga. */
void order_saga_input(const struct order *order, struct json_writer *writer);

#endif
