/* bff_watch.h -- Hints to account-svc that a customer looks at an order that waits for its payment.
 *
 * Thread    Any.
 */
#ifndef BFF_WATCH_H
#define BFF_WATCH_H

struct rpc_client;
struct watchers;

struct watchers *watchers_new(void);

/* NULL is fine. Returns NULL. */
struct watchers *watchers_free(struct watchers *watchers);

/* account: its client. */
void watchers_look(struct watchers *watchers, struct rpc_client *account, const char *payment_id,
                   const char *traceparent);

#endif
