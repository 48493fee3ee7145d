/* Get, List and ListEvents through the read thread: pages, and waiting for an order to move on. */
#include "mesh/base/check.h"
#include "order-svc/order.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fixture.h"

#include <stdio.h>
#include <string.h>

static struct reader *reader;

static void
set_up(void)
{
    const struct reader_options options = { .conninfo = fixture.conninfo,
                                            .application = "test",
                                            .statements = order_statements,
                                            .reads = order_reads,
                                            .queue_max = 100,
                                            .batch_max = 100,
                                            .parked_max = 100 };

    service_begin();
    reader = reader_open(&options);
}

static void
tear_down(void)
{
    reader_stop(reader);
    reader = reader_close(reader);
    service_end();
}

static void
run_as(const struct batch_service *service, struct test_call *test)
{
    ck_assert_int_eq(order_do(service, pg, test, NULL, NULL), ERR_OK);
}

static void
run(struct test_call *test)
{
    run_as(&order_service, test);
}

/* As main.c tells the reader what was saved. */
static void
committed(void *owner, const struct batch_rows *rows)
{
    enum batch_row_state state;
    const struct order *order;
    size_t cursor = 0;

    (void)owner;
    while ((order = batch_saved_next(rows, ORDER_ORDER, &cursor, &state)) != NULL) {
        struct read_saved saved = { order->record.id, order->version, order };

        reader_wake(reader, &order_get, &saved, 1);
    }
}

static struct test_call *
get_call(struct uuid id, int32_t wait_ms, int32_t known_version)
{
    ORDER(GetRequest) request = ORDER_INIT(GET_REQUEST);
    char text[UUID_TEXT_BYTES + 1];
    struct test_call *test;

    request.order_id = uuid_print(id, text);
    request.wait_ms = wait_ms;
    request.known_version = known_version;
    test = service_call("Get", &request.base);
    reader_submit(reader, &test->call);
    return test;
}

static ORDER(GetResponse) * get_answer(struct test_call *test)
{
    ck_assert(call_fixture_wait(test, 10 * SECOND_US));
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    return sagamesh__order__v1__get_response__unpack(NULL, test->answer_bytes, test->answer);
}

START_TEST(a_get_has_the_whole_order)
{
    struct uuid id = new_id();
    char text[UUID_TEXT_BYTES + 1];
    struct test_call *test, *missing;
    ORDER(GetResponse) * answer;

    run(order_place(id, "alice", 7));
    run(order_cancel(new_id(), id));
    run(order_paid(new_id(), id, 1200));
    test = get_call(id, 0, 0);
    answer = get_answer(test);
    ck_assert_str_eq(answer->order->order_id, uuid_print(id, text));
    ck_assert_str_eq(answer->order->customer_id, "alice");
    ck_assert_str_eq(answer->order->currency, "JPY");
    ck_assert_uint_eq(answer->order->n_lines, 2);
    ck_assert_str_eq(answer->order->lines[1]->sku, "\"ink\\");
    ck_assert_int_eq(answer->order->lines[0]->quantity, 7);
    ck_assert_int_eq(answer->order->status, SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID);
    ck_assert_int_eq(answer->order->version, 3);
    ck_assert_int_eq(answer->order->total_minor, 1200);
    ck_assert(answer->order->cancel_requested);
    ck_assert_str_eq(answer->order->flow, "order_create_saga");
    ck_assert_str_eq(answer->order->payment_method, "wallet");
    ck_assert_str_eq(answer->order->payment_reference, "transfer-7");
    sagamesh__order__v1__get_response__free_unpacked(answer, NULL);
    call_fixture_free(test);
    missing = get_call(new_id(), 60000, 0); /* what is not there is not waited for */
    ck_assert(call_fixture_wait(missing, 10 * SECOND_US));
    ck_assert_int_eq(missing->call.op->problem.error, ERR_NOT_FOUND);
    call_fixture_free(missing);
}
END_TEST

START_TEST(a_get_waits_until_the_order_moves_on)
{
    struct uuid id = new_id(), other = new_id();
    struct batch_service service = order_service;
    struct test_call *test, *read;
    ORDER(GetResponse) * answer;

    service.committed = committed;
    run_as(&service, order_place(id, "alice", 1));
    run_as(&service, order_place(other, "alice", 1));
    test = get_call(id, 60000, 1);
    ck_assert(!call_fixture_wait(test, SECOND_US / 20)); /* nothing has happened yet */
    run_as(&service, order_paid(new_id(), other, 5));
    ck_assert(!call_fixture_wait(test, SECOND_US / 20));
    run_as(&service, order_paid(new_id(), id, 5));
    answer = get_answer(test);
    ck_assert_int_eq(answer->order->version, 2);
    sagamesh__order__v1__get_response__free_unpacked(answer, NULL);
    read = get_call(id, 0, 0);
    answer = get_answer(read);
    ck_assert_uint_eq(test->answer_bytes, read->answer_bytes); /* the same, saved or read */
    ck_assert_mem_eq(test->answer, read->answer, test->answer_bytes);
    sagamesh__order__v1__get_response__free_unpacked(answer, NULL);
    call_fixture_free(test);
    call_fixture_free(read);
}
END_TEST

START_TEST(a_get_that_waited_answers_what_there_is)
{
    struct uuid id = new_id();
    struct test_call *test, *at_once;
    ORDER(GetResponse) * answer;

    run(order_place(id, "alice", 1));
    test = get_call(id, 100, 1);
    at_once = get_call(id, 60000, 0); /* version 1 is above 0 already */
    answer = get_answer(at_once);
    ck_assert_int_eq(answer->order->version, 1);
    sagamesh__order__v1__get_response__free_unpacked(answer, NULL);
    answer = get_answer(test);
    ck_assert_int_eq(answer->order->version, 1);
    sagamesh__order__v1__get_response__free_unpacked(answer, NULL);
    call_fixture_free(test);
    call_fixture_free(at_once);
}
END_TEST

/* ---- List ---- */

static ORDER(ListResponse) * list(const char *customer, int32_t page_size, const char *token)
{
    ORDER(ListRequest) request = ORDER_INIT(LIST_REQUEST);
    ORDER(ListResponse) * answer;
    struct test_call *test;

    request.customer_id = (char *)customer;
    request.page_size = page_size;
    request.page_token = (char *)token;
    test = service_call("List", &request.base);
    reader_submit(reader, &test->call);
    ck_assert(call_fixture_wait(test, 10 * SECOND_US));
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    answer = sagamesh__order__v1__list_response__unpack(NULL, test->answer_bytes, test->answer);
    call_fixture_free(test);
    return answer;
}

/* Walks all pages of page_size; each order once, the last one that came first. Returns how many there were. */
static int
walk(const char *customer, int32_t page_size, const struct uuid *ids, int count)
{
    char token[UUID_TEXT_BYTES + 1] = "", expected[UUID_TEXT_BYTES + 1];
    int seen = 0, pages = 0;

    do {
        ORDER(ListResponse) *page = list(customer, page_size, token);

        ck_assert_uint_le(page->n_orders, (size_t)page_size);
        for (size_t i = 0; i < page->n_orders; i++, seen++) {
            ck_assert_int_lt(seen, count);
            ck_assert_str_eq(page->orders[i]->order_id,
                             uuid_print(ids[count - 1 - seen], expected));
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        sagamesh__order__v1__list_response__free_unpacked(page, NULL);
        pages++;
    } while (token[0] != '\0');
    ck_assert_int_eq(pages, (count + page_size - 1) / page_size);
    return seen;
}

/* Not in the order of the ids: a caller who could not send for a while has old ones. */
START_TEST(a_list_is_in_the_order_of_arrival)
{
    struct uuid ids[7];

    for (int i = 0; i < 7; i++) {
        ids[i] = uuid_v7(clock_now_us() - (i * 3 % 7) * 5 * DAY_US);
        run(order_place(ids[i], "lister", 1));
        run(order_place(new_id(), "somebody else", 1));
    }
    ck_assert_int_eq(walk("lister", 3, ids, 7), 7);
    ck_assert_int_eq(walk("lister", 7, ids, 7), 7);
    ck_assert_int_eq(walk("lister", 1, ids, 7), 7);
}
END_TEST

static void
expect_page(const char *token, int32_t page_size, const struct uuid *ids, size_t count,
            char ret_token[UUID_TEXT_BYTES + 1])
{
    ORDER(ListResponse) *page = list("patient", page_size, token);
    char text[UUID_TEXT_BYTES + 1];

    ck_assert_uint_eq(page->n_orders, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(page->orders[i]->order_id, uuid_print(ids[i], text));
    snprintf(ret_token, UUID_TEXT_BYTES + 1, "%s", page->next_page_token);
    sagamesh__order__v1__list_response__free_unpacked(page, NULL);
}

/* Who reads until the last one it knows misses none, and pages do not shift. */
START_TEST(what_arrives_meanwhile_comes_before_all_others)
{
    const struct uuid ids[3] = { uuid_v7(clock_now_us() - 40 * DAY_US), new_id(), new_id() };
    char token[UUID_TEXT_BYTES + 1], end[UUID_TEXT_BYTES + 1];

    run(order_place(ids[2], "patient", 1));
    run(order_place(ids[1], "patient", 1));
    expect_page("", 1, &ids[1], 1, token);
    run(order_place(ids[0], "patient", 1));
    expect_page(token, 10, &ids[2], 1, end);
    ck_assert_str_eq(end, "");
    expect_page("", 10, ids, 3, end);
}
END_TEST

/* The largest order there can be, but for its customer. */
static struct test_call *
place_large(struct uuid id)
{
    ORDER(PlaceRequest) request = ORDER_INIT(PLACE_REQUEST);
    ORDER(OrderLine) lines[LINES_MAX], *list[LINES_MAX];
    char text[UUID_TEXT_BYTES + 1], skus[LINES_MAX][SKU_BYTES_MAX + 1];

    request.order_id = uuid_print(id, text);
    request.customer_id = (char *)"hoarder";
    request.currency = (char *)"JPY";
    for (int i = 0; i < LINES_MAX; i++) {
        snprintf(skus[i], sizeof skus[i], "%0*d", SKU_BYTES_MAX, i);
        sagamesh__order__v1__order_line__init(&lines[i]);
        lines[i].sku = skus[i];
        lines[i].quantity = QUANTITY_MAX;
        list[i] = &lines[i];
    }
    request.lines = list;
    request.n_lines = LINES_MAX;
    return service_call("Place", &request.base);
}

/* 320 orders of 7 KB: a page of them all would be more than gRPC clients take. */
START_TEST(a_page_is_bounded_by_bytes_too)
{
    enum { LARGE_COUNT = 320 };
    char token[UUID_TEXT_BYTES + 1] = "", last[UUID_TEXT_BYTES + 1] = "~";
    size_t seen = 0, pages = 0;

    for (int i = 0; i < LARGE_COUNT; i++)
        run(place_large(new_id()));
    do {
        ORDER(ListResponse) *page = list("hoarder", PAGE_SIZE_MAX, token);
        size_t bytes = sagamesh__order__v1__list_response__get_packed_size(page);

        ck_assert_uint_le(bytes, PAGE_BYTES_MAX + 4 * PAGE_SIZE_MAX + 100); /* tags and lengths */
        if (page->next_page_token[0] != '\0')
            ck_assert_uint_gt(bytes, PAGE_BYTES_MAX / 2);
        for (size_t i = 0; i < page->n_orders; i++, seen++) {
            ck_assert_int_lt(strcmp(page->orders[i]->order_id, last), 0);
            snprintf(last, sizeof last, "%s", page->orders[i]->order_id);
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        sagamesh__order__v1__list_response__free_unpacked(page, NULL);
        pages++;
    } while (token[0] != '\0');
    ck_assert_uint_eq(seen, LARGE_COUNT);
    ck_assert_uint_ge(pages, 3);
}
END_TEST

START_TEST(a_list_without_a_customer_is_everybodys)
{
    ORDER(ListResponse) * page;
    char text[UUID_TEXT_BYTES + 1];
    struct uuid id = new_id();

    run(order_place(id, "newest of all", 1));
    page = list("", 1, "");
    ck_assert_uint_eq(page->n_orders, 1);
    ck_assert_str_eq(page->orders[0]->order_id, uuid_print(id, text));
    sagamesh__order__v1__list_response__free_unpacked(page, NULL);
    page = list("nobody", 10, "");
    ck_assert_uint_eq(page->n_orders, 0);
    ck_assert_str_eq(page->next_page_token, "");
    sagamesh__order__v1__list_response__free_unpacked(page, NULL);
}
END_TEST

START_TEST(events_are_listed_after_a_version)
{
    ORDER(ListEventsRequest) request = ORDER_INIT(LIST_EVENTS_REQUEST);
    ORDER(ListEventsResponse) * answer;
    struct uuid id = new_id();
    char text[UUID_TEXT_BYTES + 1];
    struct test_call *test;

    run(order_place(id, "alice", 1));
    run(order_cancel(new_id(), id));
    run(order_failed(new_id(), id, "CANCELED", "as was wished"));
    request.order_id = uuid_print(id, text);
    request.after_version = 1;
    test = service_call("ListEvents", &request.base);
    reader_submit(reader, &test->call);
    ck_assert(call_fixture_wait(test, 10 * SECOND_US));
    answer =
        sagamesh__order__v1__list_events_response__unpack(NULL, test->answer_bytes, test->answer);
    ck_assert_uint_eq(answer->n_events, 2);
    ck_assert_int_eq(answer->events[0]->version, 2);
    ck_assert_str_eq(answer->events[0]->type, "order.cancel-requested");
    ck_assert_int_eq(answer->events[1]->version, 3);
    ck_assert_str_eq(answer->events[1]->type, "order.failed");
    ck_assert_ptr_nonnull(strstr(answer->events[1]->payload, "\"reason\":\"CANCELED\""));
    sagamesh__order__v1__list_events_response__free_unpacked(answer, NULL);
    call_fixture_free(test);
}
END_TEST

int
main(void)
{
    TCase *reads = check_case("reads");

    tcase_add_checked_fixture(reads, set_up, tear_down);
    tcase_add_test(reads, a_get_has_the_whole_order);
    tcase_add_test(reads, a_get_waits_until_the_order_moves_on);
    tcase_add_test(reads, a_get_that_waited_answers_what_there_is);
    tcase_add_test(reads, a_list_is_in_the_order_of_arrival);
    tcase_add_test(reads, what_arrives_meanwhile_comes_before_all_others);
    tcase_add_test(reads, a_list_without_a_customer_is_everybodys);
    tcase_add_test(reads, events_are_listed_after_a_version);
    /* Last: it fills the table. */
    tcase_add_test(reads, a_page_is_bounded_by_bytes_too);
    return service_fixture_check(&order_parts, "order_reads", reads);
}
