/* Two stores on one database, as two replicas of order-svc have them: whatever one does to an order, the
 * other does too, in batches, at the same moment. Each order ends once, its events have no gap, and they
 * add up to its row. */
#include "order-svc/order_event.h"
#include "tests/support/check.h"
#include "tests/support/order/order_fixture.h"
#include "tests/support/order/order_fold.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { ORDERS = 40, ROUNDS = 6 };

struct replica {
    pthread_barrier_t *barrier;
    const struct uuid *orders;
    struct uuid ids[ROUNDS][ORDERS]; /* of requests; the replicas share those of some rounds */
    int paid, too_late;
};

/* What a replica asks of an order in a round. Both place it; then one wants it paid, one failed. */
static struct test_call *
call_of(const struct replica *replica, int which, int round, int i)
{
    struct uuid id = replica->ids[round][i], order = replica->orders[i];

    switch (round) {
    case 0:
        return order_place(order, "alice", 1 + i);
    case 1:
        return order_waiting(id, order, 700);
    case 2:
        return order_cancel(id, order);
    case 3:
        return (i + which) % 2 == 0 ? order_paid(id, order, 700)
                                    : order_failed(id, order, "CANCELED", "as was wished");
    case 4:
        return order_paid(id, order, 700);
    default:
        return order_failed(id, order, "LATE", "too late");
    }
}

static void
run_round(struct replica *replica, struct pg *over, int which, int round)
{
    struct test_call *tests[ORDERS];

    for (int i = 0; i < ORDERS;
         i++) { /* one from the front, one from the back: locks must not cross */
        tests[i] = call_of(replica, which, round, which == 0 ? i : ORDERS - 1 - i);
    }
    pthread_barrier_wait(replica->barrier);
    service_run(&order_service, over, tests, ORDERS);
    for (int i = 0; i < ORDERS; i++) {
        const struct problem *problem = &tests[i]->call.op->problem;

        ck_assert_msg(problem->error == ERR_OK || problem->error == ERR_TOO_LATE, "round %d: %s %s",
                      round, problem_reason(problem), problem->text);
        replica->paid += round == 4 && problem->error == ERR_OK;
        replica->too_late += round == 4 && problem->error == ERR_TOO_LATE;
        call_fixture_free(tests[i]);
    }
}

static struct replica replicas[2];

static void *
replica_main(void *context)
{
    struct replica *replica = context;
    struct pg *own = batch_pg_new(&order_service, fixture.conninfo);

    for (int round = 0; round < ROUNDS; round++)
        run_round(replica, own, replica == &replicas[1], round);
    pg_free(own);
    return NULL;
}

static void
race(struct uuid orders[ORDERS])
{
    pthread_barrier_t barrier;
    pthread_t threads[2];

    for (int i = 0; i < ORDERS; i++)
        orders[i] = new_id();
    pthread_barrier_init(&barrier, NULL, 2);
    for (int which = 0; which < 2; which++) {
        replicas[which] = (struct replica){ .barrier = &barrier, .orders = orders };
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < ORDERS; i++) /* rounds 1 and 4: the very same requests */
                replicas[which].ids[round][i] =
                    which == 1 && (round == 1 || round == 4) ? replicas[0].ids[round][i] : new_id();
        }
    }
    for (int which = 0; which < 2; which++)
        ck_assert_int_eq(pthread_create(&threads[which], NULL, replica_main, &replicas[which]), 0);
    for (int which = 0; which < 2; which++)
        pthread_join(threads[which], NULL);
    pthread_barrier_destroy(&barrier);
}

/* Folds the events of an order, and compares what must not differ. */
static void
expect_events_to_add_up(struct uuid id)
{
    struct arena *arena = arena_new();
    struct get_order get = { .op.id = id };
    struct list_events list = { .op.id = id };
    struct op *get_op = &get.op, *list_op = &list.op;
    struct order folded = { 0 };
    struct problem problem;

    ck_assert_int_eq(service_read("Get", &get_op, 1, arena), ERR_OK);
    ck_assert_int_eq(service_read("ListEvents", &list_op, 1, arena), ERR_OK);
    for (size_t i = 0; i < list.count; i++) /* refuses a gap */
        ck_assert_int_eq(order_event_fold(&list.events[i], arena, &folded, &problem), ERR_OK);
    ck_assert_int_eq(folded.version, get.order.version);
    ck_assert_int_eq(folded.status, get.order.status);
    ck_assert_int_eq(folded.total_minor, get.order.total_minor);
    ck_assert_str_eq(folded.failure_reason, get.order.failure_reason);
    ck_assert(folded.cancel_wanted && get.order.cancel_wanted);
    ck_assert_int_eq(folded.version, 4); /* placed, waiting, cancel-requested, and one end */
    arena_free(arena);
}

START_TEST(two_replicas_move_the_same_orders)
{
    struct uuid orders[ORDERS];

    race(orders);
    for (int i = 0; i < ORDERS; i++)
        expect_events_to_add_up(orders[i]);
    /* The same MarkPaid at both is one decision, and it is what the order says. */
    ck_assert_int_eq(replicas[0].paid, replicas[1].paid);
    ck_assert_int_eq(replicas[0].too_late, replicas[1].too_late);
    ck_assert_int_eq(replicas[0].paid + replicas[0].too_late, ORDERS);
    ck_assert_int_eq(
        pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM orders WHERE status = 3"),
        replicas[0].paid);
    ck_assert_int_eq(pg_fixture_int(fixture.conninfo, "SELECT count(*) FROM orders"
                                                      " WHERE failure_reason = 'LATE'"),
                     0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("two");

    tcase_add_checked_fixture(cases, service_begin, service_end);
    tcase_add_test(cases, two_replicas_move_the_same_orders);
    return service_fixture_check(&order_parts, "order_two", cases);
}
