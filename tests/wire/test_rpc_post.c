/* What is posted: it arrives as packed, with its trace; done() gets owner, context and reply; a full kind
 * is refused, and has room again when done() is called. And what is asked is waited for. */
#include "mesh/base/log.h"
#include "mesh/rpc/post.h"
#include "tests/support/check.h"
#include "tests/support/rpc/fake_server.h"

#include <sagamesh/clock/v1/clock_service.pb-c.h>
#include <stdio.h>

enum { PATIENCE_US = 10 * 1000 * 1000 };

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define NAME(method) "fake.Service/" method

static struct fake_server *fake;
static struct rpc_client *client;

/* What done() saw, of all posts of a test. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int done, sum; /* how many; of their contexts */
    enum wire_code code;
    int64_t wall_us;        /* of the reply; -1: there was none */
    char text[64];          /* the reply's bytes */
    struct rpc_posts *full; /* of a kind with room for one: the first done() posts into it again */
    bool posted_again;
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void
open_both(void)
{
    char address[32];
    struct rpc_client_options options = {
        .target = address, .is_mesh = true, .waiting_max = 64, .envelopes_max = 4
    };

    log_open("test", LOG_ERROR);
    fake = fake_open(0);
    snprintf(address, sizeof address, "127.0.0.1:%d", fake->port);
    ck_assert_int_eq(rpc_client_open(&options, &client), ERR_OK);
}

static void
close_both(void)
{
    client = rpc_client_close(client);
    fake_close(fake);
}

static void see(void *owner, const void *context, const struct rpc_result *result,
                const ProtobufCMessage *reply);

static struct rpc_post
post_of(const char *method, const int *number)
{
    return (struct rpc_post){ .method = method,
                              .timeout_us = PATIENCE_US,
                              .attempts_max = 1,
                              .must_go_alone = true,
                              .owner = &seen,
                              .context = number,
                              .context_bytes = number == NULL ? 0 : sizeof *number,
                              .done = see };
}

static void
see(void *owner, const void *context, const struct rpc_result *result,
    const ProtobufCMessage *reply)
{
    ck_assert_ptr_eq(owner, &seen);
    pthread_mutex_lock(&seen.lock);
    seen.code = result->code;
    seen.sum += *(const int *)context;
    seen.wall_us = reply == NULL ? -1 : ((const Sagamesh__Clock__V1__NowResponse *)reply)->wall_us;
    if (result->code == WIRE_OK)
        snprintf(seen.text, sizeof seen.text, "%.*s", (int)result->reply_bytes,
                 (const char *)result->reply);
    if (seen.done++ == 0 && seen.full != NULL) {
        struct rpc_post again = post_of(NAME("Echo"), &(int){ 100 });

        again.posts = seen.full;
        seen.posted_again = rpc_post(client, &again);
    }
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void
await_done(int count)
{
    pthread_mutex_lock(&seen.lock);
    while (seen.done < count)
        pthread_cond_wait(&seen.changed, &seen.lock);
    pthread_mutex_unlock(&seen.lock);
}

START_TEST(message_goes_and_reply_comes_unpacked)
{
    Sagamesh__Clock__V1__NowResponse now = SAGAMESH__CLOCK__V1__NOW_RESPONSE__INIT;
    int number = 7;
    struct rpc_post post = post_of(NAME("Echo"), &number);

    now.wall_us = 1234567890123456;
    post.message = &now.base;
    post.reply_type = &sagamesh__clock__v1__now_response__descriptor;
    ck_assert(rpc_post(client, &post));
    number = 0; /* it was copied */
    await_done(1);
    ck_assert_int_eq(seen.code, WIRE_OK);
    ck_assert_int_eq(seen.wall_us, 1234567890123456);
    ck_assert_int_eq(seen.sum, 7);
}
END_TEST

START_TEST(reply_that_is_none_is_null)
{
    struct rpc_post post = post_of(NAME("Echo"), &(int){ 1 });

    post.packed = (const uint8_t *)"\xff\xff\xff";
    post.packed_bytes = 3;
    post.reply_type = &sagamesh__clock__v1__now_response__descriptor;
    ck_assert(rpc_post(client, &post));
    await_done(1);
    ck_assert_int_eq(seen.code, WIRE_OK);
    ck_assert_int_eq(seen.wall_us, -1);
}
END_TEST

START_TEST(refusal_has_no_reply)
{
    struct rpc_post post = post_of(NAME("Refuse"), &(int){ 1 });

    post.reply_type = &sagamesh__clock__v1__now_response__descriptor;
    ck_assert(rpc_post(client, &post));
    await_done(1);
    ck_assert_int_eq(seen.code, error_wire_code(ERR_REFUSED));
    ck_assert_int_eq(seen.wall_us, -1);
}
END_TEST

START_TEST(trace_goes_along)
{
    struct rpc_post post = post_of(NAME("Trace"), &(int){ 1 });

    post.traceparent = TRACE;
    ck_assert(rpc_post(client, &post));
    await_done(1);
    ck_assert_str_eq(seen.text, TRACE);
}
END_TEST

START_TEST(done_may_be_left_out)
{
    struct rpc_posts posts = { .max = 2 };
    struct rpc_post post = post_of(NAME("Echo"), NULL);

    post.owner = NULL;
    post.done = NULL;
    post.posts = &posts;
    ck_assert(rpc_post(client, &post));
    client = rpc_client_close(client); /* every answer has been given */
    ck_assert_uint_eq(atomic_load(&posts.under_way), 0);
}
END_TEST

START_TEST(full_is_false_until_an_answer_comes)
{
    struct rpc_posts posts = { .max = 2 };
    struct rpc_post held = post_of(NAME("Hold"), &(int){ 1 });
    struct rpc_post more = post_of(NAME("Echo"), &(int){ 10 });

    held.posts = more.posts = &posts;
    ck_assert(rpc_post(client, &held));
    ck_assert(!rpc_posts_are_full(&posts));
    ck_assert(rpc_post(client, &held));
    ck_assert(rpc_posts_are_full(&posts));
    fake_await_held(fake, 2);
    ck_assert(!rpc_post(client, &more));
    ck_assert(!rpc_post(client, &more));
    ck_assert_uint_eq(atomic_load(&posts.under_way), 2);
    fake_release(fake);
    await_done(2);
    ck_assert(rpc_post(client, &more));
    await_done(3);
    ck_assert(!rpc_posts_are_full(&posts));
    ck_assert_int_eq(seen.sum, 12);
    ck_assert_uint_eq(atomic_load(&posts.under_way), 0);
}
END_TEST

/* A Cancel after its Start: it must not find the kind full of the post that it follows. */
START_TEST(done_may_post_in_its_own_place)
{
    struct rpc_posts posts = { .max = 1 };
    struct rpc_post post = post_of(NAME("Echo"), &(int){ 1 });

    post.posts = seen.full = &posts;
    ck_assert(rpc_post(client, &post));
    await_done(2);
    ck_assert(seen.posted_again);
    ck_assert_int_eq(seen.sum, 101);
}
END_TEST

START_TEST(close_answers_what_is_under_way)
{
    struct rpc_posts posts = { .max = 4 };
    struct rpc_post post = post_of(NAME("Hold"), &(int){ 1 });

    post.posts = &posts;
    for (int i = 0; i < 4; i++)
        ck_assert(rpc_post(client, &post));
    fake_await_held(fake, 4);
    client = rpc_client_close(client);
    ck_assert_int_eq(seen.done, 4);
    ck_assert_int_eq(seen.code, WIRE_CANCELLED);
    ck_assert_uint_eq(atomic_load(&posts.under_way), 0);
}
END_TEST

START_TEST(asked_is_waited_for)
{
    struct arena *arena = arena_new();
    struct rpc_post posts[3];
    struct rpc_result results[3];
    static const char *const texts[] = { "one", "two" };

    for (int i = 0; i < 2; i++) {
        posts[i] = post_of(NAME("Echo"), NULL);
        posts[i].packed = (const uint8_t *)texts[i];
        posts[i].packed_bytes = 3;
    }
    posts[2] = post_of(NAME("Refuse"), NULL);
    rpc_ask(client, posts, 3, arena, results);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(results[i].code, WIRE_OK);
        ck_assert_uint_eq(results[i].reply_bytes, 3);
        ck_assert_mem_eq(results[i].reply, texts[i], 3);
    }
    ck_assert_str_eq(results[2].reason, "NO_STOCK");
    ck_assert_ptr_null(results[2].reply);
    ck_assert_int_eq(seen.done, 0); /* of a post that is asked, done() is not called */
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("post");

    tcase_add_checked_fixture(tests, open_both, close_both);
    tcase_add_test(tests, message_goes_and_reply_comes_unpacked);
    tcase_add_test(tests, reply_that_is_none_is_null);
    tcase_add_test(tests, refusal_has_no_reply);
    tcase_add_test(tests, trace_goes_along);
    tcase_add_test(tests, done_may_be_left_out);
    tcase_add_test(tests, full_is_false_until_an_answer_comes);
    tcase_add_test(tests, done_may_post_in_its_own_place);
    tcase_add_test(tests, close_answers_what_is_under_way);
    tcase_add_test(tests, asked_is_waited_for);
    return check_run("post", tests);
}
