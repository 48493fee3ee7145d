/* ctl_order.h -- The order that a hold, a charge or a payment is for, looked at before a person undoes it. */
#ifndef CTL_ORDER_H
#define CTL_ORDER_H

#include "saga/ctl/ctl.h"

#include <sagamesh/order/v1/order_service.pb-c.h>

/* *ret_order is NULL when there is no such order, or when text is no id. False: nobody answered, which was
 * said; the exit status is in *ret_status. */
bool ctl_order_find(struct ctl *ctl, const char *text, const Sagamesh__Order__V1__Order **ret_order,
                    enum ctl_exit *ret_status);

#endif
