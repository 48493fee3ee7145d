#include "tests/support/account/provider_fixture.h"
#include "account-svc/account.h"
#include "account-svc/edge/payment_rpc.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- a provider with one payment at a time ---- */

struct world world;

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
    int bytes =
        snprintf(body, size,
                 "{%s\"id\":\"%.36s\",\"status\":\"%s\",\"amount\":500,\"currency\":\"JPY\","
                 "\"checkoutUrl\":\"http://pay.example/%.36s\",\"refunds\":[",
                 world.junk == NULL ? "" : world.junk, id, world.status, id);

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
    if (!world.is_there) {
        snprintf(body, size, "{\"code\":\"NOT_FOUND\"}");
        return 404;
    }
    if (strstr(head, "/cancel ") != NULL) {
        world.cancels++;
        if (world.cancel != NULL) {
            snprintf(body, size, "%s", world.cancel->body);
            return world.cancel->status;
        }
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

/* Under the lock. */
static void
hit_note(const char *head)
{
    world.hits_us[world.hits] = clock_steady_us();
    world.hits_kind[world.hits] = strncmp(head, "POST /v1/payments ", 18) == 0 ? 'c'
                                  : strncmp(head, "GET", 3) == 0               ? 'g'
                                                                               : 'p';
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
                hit_note(text);
            world.hits++;
            status = world.request == NULL ? do_request(text, body, sizeof body)
                                           : world.request(text, body, sizeof body);
            head = status >= 300 && status != 404 && world.head != NULL ? world.head : "";
            is_lost = world.lost > 0 && world.lost-- > 0;
            if (world.loses_refund && strstr(text, "/refunds ") != NULL) {
                world.loses_refund = false;
                is_lost = true;
            }
            pthread_mutex_unlock(&world.lock);
            if (!is_lost && status != 0)
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

void
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

int lost_learns;

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
    if (method == &payment_learn_method && lost_learns > 0) {
        struct learn_task *lost = arena_take(arena, sizeof *lost);

        lost_learns--;
        *lost = *(const struct learn_task *)op;
        problem_set(&lost->op.problem, ERR_STORE_DOWN, NULL, "the database is away");
        answered(lost);
        arena_free(arena);
        return;
    }
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

const char *second_url;

static int64_t requests_per_second = 100;

const struct provider_adapter *adapter = &provider_sandbox;

void
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
    ck_assert_int_eq(provider_set_open("", NULL, NULL, &providers), ERR_OK);
    provider = &providers->providers[providers->count++];
    provider->adapter = adapter;
    provider->requests_per_second = requests_per_second;
    snprintf(provider->name, sizeof provider->name, "sandbox");
    snprintf(provider->base_url, sizeof provider->base_url, "http://127.0.0.1:%d", world.port);
    if (second_url != NULL) {
        providers->providers[providers->count] = *provider;
        provider = &providers->providers[providers->count++];
        snprintf(provider->name, sizeof provider->name, "second");
        snprintf(provider->base_url, sizeof provider->base_url, "%s", second_url);
    }
    thread_options.providers = providers;
    thread = provider_thread_open(&thread_options);
}

void
set_up_slow(void)
{
    requests_per_second = 5;
    set_up();
    requests_per_second = 100;
}

void
tear_down(void)
{
    batch_stop(batch);
    thread = provider_thread_close(thread);
    batch = batch_close(batch);
    providers = provider_set_free(providers);
    world_close();
}

const struct method *
method_find(const char *name)
{
    const struct method *method = payment_methods;

    while (strcmp(method->name, name) != 0)
        method++;
    return method;
}

void
run(struct test_call *test)
{
    test->call.op->fingerprint = 1;
    batch_submit(batch, &test->call);
    ck_assert(call_fixture_wait(test, patient_us(10 * SECOND_US)));
    ck_assert_int_eq(test->call.op->problem.error, ERR_OK);
    call_fixture_free(test);
    provider_thread_wake(thread);
}

struct uuid
create_at(const char *provider)
{
    struct test_call *test = call_fixture_new(method_find("Create"));
    struct create_payment *op = (struct create_payment *)test->call.op;
    struct uuid id = uuid_v7(clock_now_us());

    op->op.id = id;
    op->order_id = id;
    op->provider = provider;
    op->currency = "JPY";
    op->description = op->return_url = "";
    op->amount_minor = 500;
    op->expires_seconds = 600;
    run(test);
    return id;
}

struct uuid
create(void)
{
    return create_at("sandbox");
}

void
undo(struct uuid id, const char *method)
{
    struct test_call *test = call_fixture_new(method_find(method));
    struct undo_payment *op = (struct undo_payment *)test->call.op;

    op->op.id = uuid_v7(clock_now_us());
    op->payment_id = id;
    run(test);
}

void
abandon(struct uuid id)
{
    undo(id, "Abandon");
}

void
come_back(struct uuid id)
{
    struct test_call *test = call_fixture_new(method_find("Observe"));
    struct observe_payment *op = (struct observe_payment *)test->call.op;

    op->op.id = uuid_v7(clock_now_us());
    op->payment_id = id;
    op->hint = HINT_RETURNED;
    run(test);
}

void
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

void
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

int
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

int
wait_for_hits_of(char kind, int count)
{
    int hits = 0, found;

    do {
        hits = wait_for_hits(hits + 1);
        found = 0;
        pthread_mutex_lock(&world.lock);
        for (int i = 0; i < hits; i++)
            found += world.hits_kind[i] == kind;
        pthread_mutex_unlock(&world.lock);
    } while (found < count);
    return hits;
}

int64_t
gap_in_kind(int hit)
{
    int before = hit - 1;
    int64_t gap_us;

    pthread_mutex_lock(&world.lock);
    while (before >= 0 && world.hits_kind[before] != world.hits_kind[hit])
        before--;
    gap_us = before < 0 ? INT64_MAX : world.hits_us[hit] - world.hits_us[before];
    pthread_mutex_unlock(&world.lock);
    return gap_us;
}

int64_t
gap_before(int hit)
{
    int64_t gap_us;

    pthread_mutex_lock(&world.lock);
    gap_us = world.hits_us[hit] - world.hits_us[hit - 1];
    pthread_mutex_unlock(&world.lock);
    return gap_us;
}

void
wait_for_cancels(int count)
{
    const struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
    int64_t until_us = clock_steady_us() + patient_us(40 * SECOND_US);
    int cancels;

    do {
        ck_assert_msg(clock_steady_us() < until_us, "%d cancels never came", count);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&world.lock);
        cancels = world.cancels;
        pthread_mutex_unlock(&world.lock);
    } while (cancels < count);
}
