/* order_message.h -- Orders as wire messages.
 *
 * Memory    Messages live in the arena; their texts are the orders'.
 */
#ifndef ORDER_MESSAGE_H
#define ORDER_MESSAGE_H

#include "order-svc/order.h"

#include "sagamesh/order/v1/order_service.pb-c.h"

Sagamesh__Order__V1__Order *order_message(const struct order *order, struct arena *arena);

/* As many of them as fit into PAGE_BYTES_MAX, one at least: a page ends before it is larger than a
 * message should be. */
Sagamesh__Order__V1__Order **order_messages(const struct order *orders, size_t count,
                                            struct arena *arena, size_t *ret_count);

#endif
