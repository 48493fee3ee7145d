/* The provider thread against a small provider of the test's own, over real sockets and a real database:
 * what it asks, what it makes of lost answers, and how an Abandon and a late success end. */
#include "account-svc/provider_lane.h"
#include "account-svc/provider_thread.h"
#include "tests/store/call_fixture.h"
#include "tests/store/pg_fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

static struct pg_fixture fixture;

/* ---- a provider with one payment at a time ---- */

enum { HITS_MAX = 1000 };

static struct world {
    pthread_mutex_t lock;
    pthread_t thread;
    int listener;
    int port;
    bool is_there;
    const char *status;
    int creates, queries, cancels, refunds; /* that were done */
    int followed;                           /* redirects */
    int lost;                               /* answers that will be lost, after the work is done */
    bool is_away, loses_refund, redirects;
    int64_t office_minor, ours_minor; /* refunds */
    int64_t office_on_refund_minor;   /* made by hand, just before ours */
    const char *head;                 /* a header more, with each 302 and 503 */
    int64_t hits_us[HITS_MAX];        /* when each request came */
    int hits;
} world;

static void
answer_write(int connection, int status, const char *more, const char *body)
{
    char head[512];
    int bytes = snprintf(head, sizeof head,
                         "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
                         status, more, strlen(body));

    if (write(connection, head, (size_t)bytes) != bytes ||
        write(connection, body, strlen(body)) != (ssize_t)strlen(body))
        fprintf(stderr, "the client is gone\n");
}

/* A refund under the payment's id is one, however often it is asked for. */
static int
do_refund(const char *head, char *body, size_t size)
{
    const char *id = strstr(head, "\"id\":\""), *amount = strstr(head, "\"amount\":");
    int64_t amount_minor = strtoll(amount + 9, NULL, 10);

    world.refunds++;
    if (world.office_on_refund_minor > 0)
        world.office_minor = world.office_on_refund_minor;
    if (world.ours_minor == 0 && amount_minor + world.office_minor > 500)
        return 409;
    world.ours_minor = amount_minor;
    snprintf(body, size, "{\"id\":\"%.36s\",\"status\":\"SUCCEEDED\",\"amount\":%" PRId64 "}",
             id + 6, amount_minor);
    return 201;
}

static void
books_write(const char *id, char *body, size_t size)
{
    int bytes = snprintf(body, size,
                         "{\"id\":\"%.36s\",\"status\":\"%s\",\"amount\":500,\"currency\":\"JPY\","
                         "\"checkoutUrl\":\"http://pay.example/%.36s\",\"refunds\":[",
                         id, world.status, id);

    if (world.office_minor > 0)
        bytes += snprintf(body + bytes, size - (size_t)bytes,
                          "{\"id\":\"office\",\"amount\":%" PRId64 "}%s", world.office_minor,
                          world.ours_minor > 0 ? "," : "");
    if (world.ours_minor > 0)
        bytes += snprintf(body + bytes, size - (size_t)bytes,
                          "{\"id\":\"%.36s\",\"amount\":%" PRId64 "}", id, world.ours_minor);
    snprintf(body + bytes, size - (size_t)bytes, "]}");
}

/* Under the lock: does what is asked, and fills the answer. */
static int
do_request(const char *head, char *body, size_t size)
{
    const char *id = strstr(head, "/v1/payments/");

    if (world.is_away)
        return 503;
    world.followed += strstr(head, "elsewhere") != NULL;
    if (world.redirects)
        return 302;
    if (strncmp(head, "POST /v1/payments ", 18) == 0) {
        world.creates++;
        world.is_there = true;
        id = strstr(head, "\"id\":\"");
        snprintf(body, size,
                 "{\"id\":\"%.36s\",\"status\":\"%s\",\"amount\":500,\"currency\":\"JPY\","
                 "\"checkoutUrl\":\"http://pay.example/%.36s\"}",
                 id + 6, world.status, id + 6);
        return 201;
    }
    if (!world.is_there)
        return 404;
    if (strstr(head, "/cancel ") != NULL) {
        world.cancels++;
        if (strcmp(world.status, "CREATED") != 0)
            return 409;
        world.status = "CANCELED";
    } else if (strstr(head, "/refunds ") != NULL) {
        return do_refund(head, body, size);
    } else {
        world.queries++;
    }
    books_write(id + 13, body, size);
    return 200;
}

/* Reads a request: its head, and as much of a body as it says. */
static void
request_read(int connection, char *text, size_t size)
{
    size_t bytes = 0, wanted = 0;

    do {
        ssize_t more = read(connection, text + bytes, size - 1 - bytes);
        const char *end, *length;

        if (more <= 0)
            break;
        bytes += (size_t)more;
        text[bytes] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (end != NULL)
            wanted =
                (size_t)(end - text) + 4 + (length == NULL ? 0 : strtoul(length + 16, NULL, 10));
    } while (wanted == 0 || bytes < wanted);
    text[bytes] = '\0';
}

static void *
world_main(void *context)
{
    int connection;

    (void)context;
    while ((connection = accept(world.listener, NULL, NULL)) >= 0) {
        char text[4096], body[512] = "";
        const char *head = "";
        bool is_lost;
        int status;

        request_read(connection, text, sizeof text);
        if (text[0] != '\0') {
            pthread_mutex_lock(&world.lock);
            if (world.hits < HITS_MAX)
                world.hits_us[world.hits] = clock_steady_us();
            world.hits++;
            status = do_request(text, body, sizeof body);
            head = status >= 300 && status != 404 && world.head != NULL ? world.head : "";
            is_lost = world.lost > 0 && world.lost-- > 0;
            if (world.loses_refund && strstr(text, "/refunds ") != NULL) {
                world.loses_refund = false;
                is_lost = true;
            }
            pthread_mutex_unlock(&world.lock);
            if (!is_lost)
                answer_write(connection, status, head, body);
        }
        close(connection);
    }
    return NULL;
}

static void
world_open(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;

    /* Each test has a world of its own, also where tests share a process. */
    world = (struct world){ .lock = PTHREAD_MUTEX_INITIALIZER, .status = "CREATED" };
    world.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(world.listener, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(world.listener, 16), 0);
    ck_assert_int_eq(getsockname(world.listener, (struct sockaddr *)&address, &bytes), 0);
    world.port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&world.thread, NULL, world_main, NULL), 0);
}

static void
world_close(void)
{
    shutdown(world.listener, SHUT_RDWR);
    pthread_join(world.thread, NULL);
    close(world.listener);
}

static void
world_set(const char *status)
{
    pthread_mutex_lock(&world.lock);
    world.status = status;
    pthread_mutex_unlock(&world.lock);
}

/* ---- the program's part: a store thread, and ops of its own ---- */

static struct batch *batch;
static struct provider_set *providers;
static struct provider_thread *thread;

struct own_call {
    struct call call; /* first */
    void (*answered)(const void *op);
};

static void
own_finish(struct call *call)
{
    ((struct own_call *)call)->answered(call->op);
    arena_free(call->arena);
}

static void
submit(void *owner, const struct method *method, const void *op, void (*answered)(const void *op))
{
    struct arena *arena = arena_new();
    struct own_call *own = arena_take(arena, sizeof *own);

    (void)owner;
    own->call.arena = arena;
    own->call.method = method;
    own->call.deadline_us = clock_steady_us() + patient_us(30 * SECOND_US);
    own->call.finish = own_finish;
    own->answered = answered;
    own->call.op = arena_take(arena, method->op_bytes);
    memcpy(own->call.op, op, method->op_bytes);
    own->call.op->traceparent = "";
    batch_submit_always(batch, &own->call);
}

static int64_t requests_per_second = 100;

static void
set_up(void)
{
    struct batch_options options = {
        .service = &account_service, .conninfo = fixture.conninfo, .queue_max = 64, .batch_max = 64
    };
    struct provider_thread_options thread_options = { .conninfo = fixture.conninfo,
                                                      .submit = submit };
    struct provider *provider;

    world_open();
    pg_fixture_run(fixture.conninfo, "TRUNCATE payment, provider_task, payment_inbox");
    batch = batch_open(&options);
    ck_assert_int_eq(provider_set_open("", &providers), ERR_OK);
    provider = &providers->providers[providers->count++];
    provider->adapter = &provider_sandbox;
    provider->requests_per_second = requests_per_second;
    snprintf(provider->name, sizeof provider->name, "sandbox");
    snprintf(provider->base_url, sizeof provider->base_url, "http://127.0.0.1:%d", world.port);
    thread_options.providers = providers;
    thread = provider_thread_open(&thread_options);
}

/* A provider that takes few. */
static void
set_up_slow(void)
{
    requests_per_second = 5;
    set_up();
    requests_per_second = 100;
}

static void
tear_down(void)
{
    batch_stop(batch);
    thread = provider_thread_close(thread);
    batch = batch_close(batch);
    providers = provider_set_free(providers);
    world_close();
}

static const struct method *
method_find(const char *name)
{
    const struct method *method = payment_methods;

    while (strcmp(method->name, name) != 0)
        method++;
    return method;
}

/* Submits it, waits for its answer, and wakes the thread as the program does after a COMMIT. */
static void
run(struct test_call *test)
{
    test->call.op->fingerprint = 1;
    batch_submit(batch, &test->call);
    ck_assert(call_fixture_wait(test, patient_us(10 * SECOND_US)));
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    call_fixture_free(test);
    provider_thread_wake(thread);
}

static struct uuid
create(void)
{
    struct test_call *test = call_fixture_new(method_find("Create"));
    struct create_payment *op = (struct create_payment *)test->call.op;
    struct uuid id = uuid_v7(clock_now_us());

    op->op.id = id;
    op->order_id = id;
    op->provider = "sandbox";
    op->currency = "JPY";
    op->description = op->return_url = "";
    op->amount_minor = 500;
    op->expires_seconds = 600;
    run(test);
    return id;
}

static void
abandon(struct uuid id)
{
    struct test_call *test = call_fixture_new(method_find("Abandon"));
    struct undo_payment *op = (struct undo_payment *)test->call.op;

    op->op.id = uuid_v7(clock_now_us());
    op->payment_id = id;
    run(test);
}

static void
come_back(struct uuid id)
{
    struct test_call *test = call_fixture_new(method_find("Observe"));
    struct observe_payment *op = (struct observe_payment *)test->call.op;

    op->op.id = uuid_v7(clock_now_us());
    op->payment_id = id;
    op->hint = HINT_RETURNED;
    run(test);
}

/* Until the payment's row fits, for 20 s at most. */
static void
wait_for(struct uuid id, const char *condition)
{
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    int64_t until_us = clock_steady_us() + patient_us(20 * SECOND_US);
    char text[UUID_TEXT_BYTES + 1];

    while (pg_fixture_int(fixture.conninfo,
                          "SELECT count(*) FROM payment JOIN provider_task ON payment_id = id"
                          " WHERE id = '%s' AND %s",
                          uuid_print(id, text), condition) == 0) {
        ck_assert_msg(clock_steady_us() < until_us, "it never became %s", condition);
        nanosleep(&moment, NULL);
    }
}

/* The assertion comes after the unlock: one that fails jumps away. */
/* Until that many payments fit, for 40 s at most. */
static void
wait_for_all(int count, const char *condition)
{
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    int64_t until_us = clock_steady_us() + patient_us(40 * SECOND_US);

    while (pg_fixture_int(fixture.conninfo,
                          "SELECT count(*) FROM payment JOIN provider_task ON payment_id = id"
                          " WHERE %s",
                          condition) != count) {
        ck_assert_msg(clock_steady_us() < until_us, "%d never became %s", count, condition);
        nanosleep(&moment, NULL);
    }
}

static int
wait_for_hits(int count)
{
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    int64_t until_us = clock_steady_us() + patient_us(40 * SECOND_US);
    int hits;

    do {
        ck_assert_msg(clock_steady_us() < until_us, "%d requests never came", count);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&world.lock);
        hits = world.hits;
        pthread_mutex_unlock(&world.lock);
    } while (hits < count);
    return hits;
}

/* From the one before it to this request. */
static int64_t
gap_before(int hit)
{
    int64_t gap_us;

    pthread_mutex_lock(&world.lock);
    gap_us = world.hits_us[hit] - world.hits_us[hit - 1];
    pthread_mutex_unlock(&world.lock);
    return gap_us;
}

#define EXPECT(what, count)                                                                        \
    do {                                                                                           \
        int is;                                                                                    \
                                                                                                   \
        pthread_mutex_lock(&world.lock);                                                           \
        is = (int)world.what;                                                                      \
        pthread_mutex_unlock(&world.lock);                                                         \
        ck_assert_msg(is == (count), #what ": %d, not %d", is, (count));                           \
    } while (0)

/* ---- */

START_TEST(created_paid_and_asked)
{
    struct uuid id = create();

    wait_for(id, "url <> '' AND create_state = 3 AND NOT is_leased");
    EXPECT(creates, 1);
    world_set("SUCCEEDED");
    come_back(id);
    wait_for(id, "observed = 7 AND claim = 2 AND kind = 0");
    EXPECT(queries, 1);
    EXPECT(refunds, 0);
}
END_TEST

START_TEST(lost_answer_to_the_create)
{
    struct uuid id;

    world.lost = 1;
    id = create();
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1); /* the query found it */
    EXPECT(queries, 1);
}
END_TEST

/* The provider is away, the create is refused in doubt; then it is sent again under the same id. */
START_TEST(provider_away_for_a_while)
{
    struct uuid id;

    world.is_away = true;
    id = create();
    wait_for(id, "attempts >= 2");
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1);
}
END_TEST

START_TEST(abandoned_and_cancelled)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3 AND observed = 6");
    EXPECT(cancels, 1);
    EXPECT(queries, 1);     /* before the cancel, whose answer said how it ended */
    world_set("SUCCEEDED"); /* paid after all */
    come_back(id);
    wait_for(id, "observed = 7 AND refunds <> '' AND kind = 0");
    EXPECT(refunds, 1);
}
END_TEST

START_TEST(lost_answer_to_the_refund)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.loses_refund = true;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "observed = 7 AND refunds LIKE '500 %' AND kind = 0");
    EXPECT(refunds, 1); /* the books told that it was made */
    wait_for(id, "refunds = '500 ' || id");
}
END_TEST

/* Some of it went back by hand: the refund of all is refused, a person is told, and what is left goes
 * back. */
START_TEST(refund_of_what_is_left)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.is_away = true;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "attempts >= 1");
    pthread_mutex_lock(&world.lock);
    world.office_minor = 200;
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "observed = 7 AND kind = 0");
    wait_for(id, "refunds = '300 ' || id || E'\\n' || '200 office'");
    EXPECT(refunds, 1);
}
END_TEST

START_TEST(refund_that_is_refused)
{
    struct uuid id = create();

    wait_for(id, "create_state = 3 AND NOT is_leased");
    abandon(id);
    wait_for(id, "claim = 3");
    pthread_mutex_lock(&world.lock);
    world.status = "SUCCEEDED";
    world.office_on_refund_minor = 200;
    pthread_mutex_unlock(&world.lock);
    come_back(id);
    wait_for(id, "needs_person");
    wait_for(id, "kind = 0 AND NOT needs_person");
    wait_for(id, "refunds = '300 ' || id || E'\\n' || '200 office'");
    EXPECT(refunds, 2); /* of all, and of what was left */
}
END_TEST

/* ---- lanes: times are counted from below, so a slow machine changes nothing ---- */

/* 5 a second with a second saved up: 20 need 3 seconds. */
START_TEST(rate_is_kept)
{
    int64_t began_us = clock_steady_us();

    for (int i = 0; i < 20; i++)
        create();
    wait_for_all(20, "url <> '' AND NOT is_leased");
    EXPECT(creates, 20);
    EXPECT(hits, 20);
    ck_assert_int_ge(world.hits_us[19] - began_us, 3 * SECOND_US);
}
END_TEST

/* After several failures one asks for all, with a pause after each; and all may when it is answered. */
START_TEST(outage_and_recovery)
{
    int hits, creates;

    world.is_away = true;
    create();
    hits = wait_for_hits(3);
    for (int i = 0; i < 20; i++)
        create();
    hits = wait_for_hits(hits + 4);
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    for (int i = LANE_FAILURES_MIN; i < hits; i++)
        ck_assert_int_ge(gap_before(i), LANE_PAUSE_MIN_US * 9 / 10);
    wait_for_all(21, "url <> '' AND create_state = 3");
    pthread_mutex_lock(&world.lock);
    creates = world.creates;
    pthread_mutex_unlock(&world.lock);
    ck_assert_int_le(creates, 21); /* none twice */
}
END_TEST

/* Whoever can answer for a provider must not send its key on to others: a redirect is no answer. */
START_TEST(redirect_is_not_followed)
{
    struct uuid id;
    char head[128];

    snprintf(head, sizeof head, "Location: http://127.0.0.1:%d/v1/payments/elsewhere\r\n",
             world.port);
    world.redirects = true;
    world.head = head;
    id = create();
    wait_for(id, "create_state = 1 AND NOT is_leased");
    pthread_mutex_lock(&world.lock);
    world.redirects = false;
    pthread_mutex_unlock(&world.lock);
    wait_for(id, "url <> '' AND create_state = 3");
    EXPECT(creates, 1);
    EXPECT(followed, 0);
}
END_TEST

/* One 503 that says when to come back: nobody asks before. */
START_TEST(retry_after_is_kept)
{
    world.is_away = true;
    world.head = "Retry-After: 2\r\n";
    create();
    wait_for_hits(1);
    for (int i = 0; i < 5; i++)
        create();
    pthread_mutex_lock(&world.lock);
    world.is_away = false;
    pthread_mutex_unlock(&world.lock);
    wait_for_all(6, "url <> '' AND create_state = 3");
    ck_assert_int_ge(gap_before(1), 2 * SECOND_US);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("provider thread");
    TCase *tests = tcase_create("thread"), *slow = tcase_create("slow");
    SRunner *runner = srunner_create(suite);
    int failed;

    pg_fixture_open(&fixture, "provider", "account-svc/schema.sql");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, created_paid_and_asked);
    tcase_add_test(tests, lost_answer_to_the_create);
    tcase_add_test(tests, provider_away_for_a_while);
    tcase_add_test(tests, abandoned_and_cancelled);
    tcase_add_test(tests, lost_answer_to_the_refund);
    tcase_add_test(tests, refund_of_what_is_left);
    tcase_add_test(tests, refund_that_is_refused);
    tcase_add_test(tests, outage_and_recovery);
    tcase_add_test(tests, retry_after_is_kept);
    tcase_add_test(tests, redirect_is_not_followed);
    tcase_set_timeout(slow, 120);
    tcase_add_checked_fixture(slow, set_up_slow, tear_down);
    tcase_add_test(slow, rate_is_kept);
    suite_add_tcase(suite, slow);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pg_fixture_close(&fixture);
    return failed == 0 ? 0 : 1;
}
