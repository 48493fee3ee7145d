/* What the HTTP server refuses by itself: who is not admitted, bodies beyond the budget; and how it is
 * counted. */
#include "tests/support/check.h"
#include "tests/support/http/http_harness.h"

#include <string.h>
#include <unistd.h>

#define H "Host: h\r\n"
#define CLOSE H "Connection: close\r\n"

/* Without a body the connection is as good as before. */
START_TEST(who_was_not_admitted_may_ask_again)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, "POST /guarded HTTP/1.1\r\n" H "\r\n");
    ck_assert_int_eq(strncmp(client_hear_one(fd, text), "HTTP/1.1 401 ", 13), 0);
    ck_assert_ptr_null(strstr(text, "Connection: close"));
    client_say(fd, "POST /guarded HTTP/1.1\r\n" H "Pass: bob\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "bob is in"));
    close(fd);
}
END_TEST

/* ---- bodies ----------------------------------------------------------------------------------- */

static bool
holds_1500(const struct http_server_counters *counters)
{
    return counters->bodies_bytes == 1500;
}

static bool
holds_nothing(const struct http_server_counters *counters)
{
    return counters->bodies_bytes == 0;
}

#define KEEP_1000 "POST /keep HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n"

static void
say_bytes(int fd, int count)
{
    char text[1001];

    memset(text, 'x', sizeof text);
    text[count] = '\0';
    client_say(fd, text);
}

/* One body is with a handler, of another half has come: a third is too much, whatever it announces,
 * and what has no body is not. A body counts until its request is answered. */
START_TEST(all_bodies_together_have_a_limit)
{
    char text[TEXT_BYTES];
    int first, second, third;

    server_tear_down();
    server_start((struct http_server_options){ .bodies_bytes_max = 2000 });
    first = client_open();
    second = client_open();
    third = client_open();
    client_say(first, KEEP_1000);
    say_bytes(first, 1000);
    client_say(second, KEEP_1000);
    say_bytes(second, 500);
    counters_wait(holds_1500);
    client_say(third, KEEP_1000);
    say_bytes(third, 501);
    ck_assert(client_hear_end(third, text));
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 503 ", 13), 0);
    ck_assert_ptr_nonnull(strstr(text, "Retry-After: 1\r\n"));
    close(third);
    counters_wait(holds_1500);
    third = client_open();
    client_say(third, "GET /hello/a HTTP/1.1\r\n" H "\r\n");
    ck_assert_ptr_nonnull(strstr(client_hear_one(third, text), "hello a"));
    say_bytes(second, 500); /* just fits */
    pending_answer();
    pending_answer();
    ck_assert_ptr_nonnull(strstr(client_hear_one(first, text), "later"));
    ck_assert_ptr_nonnull(strstr(client_hear_one(second, text), "later"));
    client_say(second, KEEP_1000);
    say_bytes(second, 10);
    close(second); /* so does half a body whose client goes */
    counters_wait(holds_nothing);
    close(first);
    close(third);
}
END_TEST

static bool
has_six_requests(const struct http_server_counters *counters)
{
    return counters->requests == 6 && counters->refused == 4;
}

START_TEST(what_the_server_refuses_is_counted_by_status)
{
    static const char *const requests[] = {
        "GET /hello/a HTTP/1.1\r\n" CLOSE "\r\n",
        "OPTIONS /hello/a HTTP/1.1\r\n" CLOSE "\r\n",
        "GET /none HTTP/1.1\r\n" CLOSE "\r\n",
        "POST /guarded HTTP/1.1\r\n" CLOSE "\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    };
    char text[TEXT_BYTES];

    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        int fd = client_open();

        client_say(fd, requests[i]);
        ck_assert(client_hear_end(fd, text));
        close(fd);
    }
    counters_wait(has_six_requests);
    ck_assert_uint_eq(http_server_count_own(server, 400), 2);
    ck_assert_uint_eq(http_server_count_own(server, 401), 1);
    ck_assert_uint_eq(http_server_count_own(server, 404), 1);
    ck_assert_uint_eq(http_server_count_own(server, 504), 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("limits");

    tcase_add_checked_fixture(cases, server_set_up, server_tear_down);
    tcase_add_test(cases, who_was_not_admitted_may_ask_again);
    tcase_add_test(cases, all_bodies_together_have_a_limit);
    tcase_add_test(cases, what_the_server_refuses_is_counted_by_status);
    return check_run("wire_http_limits", cases);
}
