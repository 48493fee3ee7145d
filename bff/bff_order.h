/* bff_order.h -- An order as JSON.
 *
 * Thread    Plain data.
 */
#ifndef BFF_ORDER_H
#define BFF_ORDER_H

#include "mesh/base/json.h"

#include <sagamesh/order/v1/order_service.pb-c.h>

#define ORDER_SERVICE "sagamesh.order.v1.OrderService/"
#define ORDER_STATUS(name) SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_##name

const char *order_status_word(Sagamesh__Order__V1__OrderStatus status);
void order_write(struct json_writer *json, const char *key,
                 const Sagamesh__Order__V1__Order *order);

#endif
