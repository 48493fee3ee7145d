/* ctl_order.h -- The order that a hold, a charge or a payment is for, and its saga, looked at before a person
 * moves either. */
#ifndef CTL_ORDER_H
#define CTL_ORDER_H

#include "sagactl/ctl.h"

#include <sagamesh/order/v1/order_service.pb-c.h>
#include <sagamesh/saga/v1/saga_service.pb-c.h>

/* *ret_order is NULL when there is no such order, or when text is no id. False: order-svc did not answer,
 * which was said; the exit status is in *ret_status. */
bool ctl_order_find(struct ctl *ctl, const char *text, const Sagamesh__Order__V1__Order **ret_order,
                    enum ctl_exit *ret_status);

/* The order's saga. NULL: there is none, or saga-svc does not answer, which was said. */
const Sagamesh__Saga__V1__GetResponse *ctl_order_saga(struct ctl *ctl, const char *order_id,
                                                      enum ctl_exit *ret_status);

#endif
