/* order_fold.h -- An order out of its events: the proof that they say everything. */
#ifndef TESTS_SUPPORT_ORDER_FOLD_H
#define TESTS_SUPPORT_ORDER_FOLD_H

#include "order-svc/order.h"

struct event;

/* Applies an event to *order (zeroed before the first). A payload that is not of an order, or not of
 * the next version, is a BAD_REQUEST. Texts live in the arena. */
enum error order_event_fold(const struct event *event, struct arena *arena, struct order *order,
                            struct problem *problem);

#endif
