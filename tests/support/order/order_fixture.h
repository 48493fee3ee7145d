/* order_fixture.h -- Calls of order-svc as a client would make them: messages, decoded.
 *
 * Memory    As in service_fixture.h. After order_do() an op's numbers can be read, its texts not.
 */
#ifndef TESTS_SUPPORT_ORDER_ORDER_FIXTURE_H
#define TESTS_SUPPORT_ORDER_ORDER_FIXTURE_H

#include "order-svc/order.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <sagamesh/order/v1/order_service.pb-c.h>

#define ORDER(name) Sagamesh__Order__V1__##name

#define ORDER_INIT(name) SAGAMESH__ORDER__V1__##name##__INIT

extern const struct service_parts order_parts;

struct test_call *order_place(struct uuid id, const char *customer, int64_t quantity);
struct test_call *order_place_external(struct uuid id, const char *provider,
                                       const char *return_url);
struct test_call *order_cancel(struct uuid request_id, struct uuid id);
struct test_call *order_waiting(struct uuid request_id, struct uuid id, int64_t total_minor);
struct test_call *order_asked(struct uuid request_id, struct uuid id, const char *payment_id,
                              const char *url, int64_t expires_at_us);
struct test_call *order_paid(struct uuid request_id, struct uuid id, int64_t total_minor);
struct test_call *order_failed(struct uuid request_id, struct uuid id, const char *reason,
                               const char *detail);

/* Decides one call and frees it. *ret_problem, unless NULL, is its decision; *ret_order, unless NULL,
 * the numbers of the order it reports. */
enum error order_do(const struct batch_service *service, struct pg *over, struct test_call *test,
                    struct problem *ret_problem, struct order *ret_order);

#endif
