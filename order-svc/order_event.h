/* order_event.h -- What the events of an order say.
 *
 * A payload has all registers of the order as they are after the event, so that a reader needs no
 * earlier one; those of an external payment (paymentId, paymentUrl, paymentExpiresAtUs) once it has
 * one. order.placed also has what never changes: the lines, the flow, the fingerprint of the request,
 * and the provider and returnUrl of an external payment. Applying the events of an order from the first on
 * gives its row again, column by column (tests/support/order/order_fold.h).
 *
 * Thread    Plain data.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef ORDER_EVENT_H
#define ORDER_EVENT_H

#include "mesh/base/json.h"
#include "mesh/store/event.h"
#include "order-svc/order.h"

/* The payload of the event that made the order what it is; version 1 is order.placed. */
void order_event_write(const struct order *order, struct json_writer *writer);

/* Adds the lines: "lines":[{"sku","quantity"}]. */
void order_lines_write(const char *lines, struct json_writer *writer);

#endif
