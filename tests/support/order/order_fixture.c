#include "tests/support/order/order_fixture.h"

#include <string.h>

const struct service_parts order_parts = {
    .schema = "order-svc/schema",
    .service = &order_service,
    .methods = order_methods,
    .reads = order_reads,
    .statements = order_statements,
};

struct test_call *
order_place(struct uuid id, const char *customer, int64_t quantity)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) lines[2] = { ORDER_INIT(ORDER_LINE), ORDER_INIT(ORDER_LINE) };
    ORDER(OrderLine) * list[2] = { &lines[0], &lines[1] };
    char text[UUID_TEXT_BYTES + 1];

    request.order_id = uuid_print(id, text);
    request.customer_id = (char *)customer;
    request.currency = (char *)"JPY";
    lines[0].sku = (char *)"pen";
    lines[0].quantity = quantity;
    lines[1].sku = (char *)"\"ink\\";
    lines[1].quantity = 1;
    request.lines = list;
    request.n_lines = 2;
    return service_call("Place", &request.base);
}

struct test_call *
order_place_external(struct uuid id, const char *provider, const char *return_url)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) line = ORDER_INIT(ORDER_LINE);
    ORDER(OrderLine) *list = &line;
    char text[UUID_TEXT_BYTES + 1];

    request.order_id = uuid_print(id, text);
    request.customer_id = (char *)"alice";
    request.currency = (char *)"JPY";
    request.payment_method = (char *)"external";
    request.provider = (char *)provider;
    request.return_url = (char *)return_url;
    line.sku = (char *)"pen";
    line.quantity = 1;
    request.lines = &list;
    request.n_lines = 1;
    return service_call("Place", &request.base);
}

struct test_call *
order_cancel(struct uuid request_id, struct uuid id)
{
    ORDER(CancelRequest) request = ORDER_INIT(CANCEL_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(request_id, text);
    request.order_id = uuid_print(id, order_text);
    return service_call("Cancel", &request.base);
}

struct test_call *
order_waiting(struct uuid request_id, struct uuid id, int64_t total_minor)
{
    ORDER(MarkWaitingRequest) request = ORDER_INIT(MARK_WAITING_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(request_id, text);
    request.order_id = uuid_print(id, order_text);
    request.total_minor = total_minor;
    request.currency = (char *)"JPY";
    return service_call("MarkWaiting", &request.base);
}

struct test_call *
order_asked(struct uuid request_id, struct uuid id, const char *payment_id, const char *url,
            int64_t expires_at_us)
{
    ORDER(MarkWaitingRequest) request = ORDER_INIT(MARK_WAITING_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(request_id, text);
    request.order_id = uuid_print(id, order_text);
    request.total_minor = 700;
    request.currency = (char *)"JPY";
    request.payment_id = (char *)payment_id;
    request.payment_url = (char *)url;
    request.payment_expires_at_us = expires_at_us;
    return service_call("MarkWaiting", &request.base);
}

struct test_call *
order_paid(struct uuid request_id, struct uuid id, int64_t total_minor)
{
    ORDER(MarkPaidRequest) request = ORDER_INIT(MARK_PAID_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(request_id, text);
    request.order_id = uuid_print(id, order_text);
    request.total_minor = total_minor;
    request.currency = (char *)"JPY";
    request.payment_reference = (char *)"transfer-7";
    return service_call("MarkPaid", &request.base);
}

struct test_call *
order_failed(struct uuid request_id, struct uuid id, const char *reason, const char *detail)
{
    ORDER(MarkFailedRequest) request = ORDER_INIT(MARK_FAILED_REQUEST);
    char text[UUID_TEXT_BYTES + 1], order_text[UUID_TEXT_BYTES + 1];

    request.request_id = uuid_print(request_id, text);
    request.order_id = uuid_print(id, order_text);
    request.reason = (char *)reason;
    request.detail = (char *)detail;
    return service_call("MarkFailed", &request.base);
}

enum error
order_do(const struct batch_service *service, struct pg *over, struct test_call *test,
         struct problem *ret_problem, struct order *ret_order)
{
    struct call *call = &test->call;
    enum error error;

    service_run(service, over, &test, 1);
    error = test->call.op->problem.error;
    if (ret_problem != NULL)
        *ret_problem = test->call.op->problem;
    if (ret_order != NULL && strcmp(call->method->name, "Place") == 0)
        *ret_order = ((struct place *)call->op)->order;
    else if (ret_order != NULL && strcmp(call->method->name, "Cancel") == 0)
        *ret_order = ((struct cancel *)call->op)->order;
    else if (ret_order != NULL)
        *ret_order = ((struct mark *)call->op)->order;
    call_fixture_free(test);
    return error;
}
