/* ctl_demo_http.h -- The demo's order over HTTP: placed at bff as a frontend does.
 *
 * Thread    The program's.
 * Memory    What is returned is of ctl's arena.
 * Errors    NULL: ctl_fail() has said why, and *ret_status is the exit status.
 * Units     A quantity is pieces.
 */
#ifndef SAGACTL_CTL_DEMO_HTTP_H
#define SAGACTL_CTL_DEMO_HTTP_H

#include "sagactl/ctl.h"

/* Places an order that is paid from the customer's wallet, with --token-file's token at --bff. Its id. */
char *ctl_demo_place_http(struct ctl *ctl, const char *customer_id, const char *sku,
                          int64_t quantity, const char *currency, enum ctl_exit *ret_status);

#endif
