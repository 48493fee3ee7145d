/* A line of the log as JSON: what it has for members, and that no text of a stranger's makes or breaks one. */
#include "mesh/base/log_json.h"

#include "mesh/base/log.h"
#include "mesh/base/terminal.h"
#include "mesh/base/utf8.h"
#include "tests/support/check.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ID "0198a0c4-0000-7000-8000-00000000000"

enum { TEXT_MAX = 2015 };

static const struct log_head head = {
    .time_us = 1763719200123456,
    .level = LOG_WARN,
    .program = "order-svc",
    .version = "0.1.0",
    .trace_id = "4bf92f3577b34da6a3ce929d0e0e4736",
    .span_id = "00f067aa0ba902b7",
    .trace_flags = "01",
};
static const struct log_head short_head = {
    .level = LOG_INFO,
    .program = "x",
    .version = "1",
    .trace_id = "",
    .span_id = "",
    .trace_flags = "",
};

static char line[LOG_JSON_BYTES_MAX + 1];

static size_t __attribute__((format(printf, 2, 3)))
print(const struct log_head *of, const char *format, ...)
{
    va_list arguments;
    size_t bytes;

    va_start(arguments, format);
    bytes = log_json_print(line, of, TEXT_MAX, format, arguments);
    va_end(arguments);
    ck_assert_uint_le(bytes, LOG_JSON_BYTES_MAX);
    line[bytes] = '\0';
    return bytes;
}

/* One line, one object, no name twice. */
static json_t *
read_line(const char *text, size_t bytes)
{
    json_error_t error;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);

    ck_assert_msg(json_is_object(json), "%s: %.*s", error.text, (int)bytes, text);
    ck_assert_ptr_eq(memchr(text, '\n', bytes), text + bytes - 1);
    ck_assert_str_eq(json_object_iter_key(json_object_iter(json)), "timestamp");
    return json;
}

START_TEST(the_head_stands_first)
{
    print(&head, "order=%s event=PLACED", "o-1");
    ck_assert_str_eq(line, "{\"timestamp\":\"2025-11-21T10:00:00.123456Z\",\"severity\":\"WARN\","
                           "\"severity_number\":13,\"service.name\":\"order-svc\","
                           "\"service.version\":\"0.1.0\","
                           "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\","
                           "\"span_id\":\"00f067aa0ba902b7\",\"trace_flags\":\"01\","
                           "\"order\":\"o-1\",\"event.name\":\"PLACED\","
                           "\"message\":\"order=o-1 event=PLACED\"}\n");
}
END_TEST

/* clang-format off */
static const struct { const char *what, *format, *first, *second, *members; } rows[] = {
    { "known names",             "payment=%s saga=%s method=Hold reason=NO because=\"none left\" ms=5", ID "1", ID "2",
      "{\"payment_id\":\"" ID "1\",\"saga_id\":\"" ID "2\",\"rpc.method\":\"Hold\",\"error.type\":\"NO\",\"error.message\":\"none left\",\"duration_ms\":5}" },
    { "ids that are none",       "order=%s saga=asked", "12", "", "{\"order\":\"12\",\"saga\":\"asked\"}" },
    { "numbers",                 "a=0 b=-12 c=3.25 d=123456789012345678", "", "",
      "{\"a\":0,\"b\":-12,\"c\":3.25,\"d\":123456789012345678}" },
    { "what only looks like one", "a=007 b=1. c=.5 d=1e5 e=-  f=1234567890123456789 g=1.2.3 h=--1", "", "",
      "{\"a\":\"007\",\"b\":\"1.\",\"c\":\".5\",\"d\":\"1e5\",\"e\":\"-\",\"f\":\"1234567890123456789\",\"g\":\"1.2.3\",\"h\":\"--1\"}" },
    { "digits of a text",        "hash=%s", "123", "",             "{\"hash\":\"123\"}" },
    { "quoted",                  "because=\"it is so\" next='do it' q=\"7\"", "", "",
      "{\"error.message\":\"it is so\",\"next\":\"do it\",\"q\":\"7\"}" },
    { "an empty value",          "a= b=\"\" c=%s d=1", "", "",     "{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":1}" },
    { "bare words",              "counters a=1 and more", "", "",  "{\"a\":1}" },
    { "no word at all",          "%s", "", "",                     "{}" },
    { "a name twice",            "a=1 a=2 a=3 ms=7 duration_ms=8", "", "",
      "{\"a\":1,\"a_2\":2,\"a_3\":3,\"duration_ms\":7,\"duration_ms_2\":8}" },
    { "a name of the head",      "severity=mine message=%s cut=1", "m", "",
      "{\"severity_2\":\"mine\",\"message_2\":\"m\",\"cut_2\":1}" },
    { "a quote ends no value",   "because=\"%s\" a=1", "no\" order=\"stolen\" x=\"", "",
      "{\"error.message\":\"no\\\" order=\\\"stolen\\\" x=\\\"\",\"a\":1}" },
    { "nor does a space",        "from=%s a=1", "me order=stolen", "", "{\"from\":\"me order=stolen\",\"a\":1}" },
    { "nor a quote that opens",  "from=%s a=1", "\"me", "",        "{\"from\":\"\\\"me\",\"a\":1}" },
    { "two texts in a value",    "method=%s/%s a=1", "s.S", "M m", "{\"rpc.method\":\"s.S/M m\",\"a\":1}" },
    { "a text and a number",     "at=%s:12 a=1", "f.c", "",        "{\"at\":\"f.c:12\",\"a\":1}" },
    { "words made beforehand",   "serving=%s%s", "no", " because=\"it \"waits\" now\" a=2",
      "{\"serving\":\"no\",\"error.message\":\"it \\\"waits\\\" now\",\"a\":2}" },
    { "a line made beforehand",  "%s", "event=DEAD n=3 because=\"a b\"", "",
      "{\"event.name\":\"DEAD\",\"n\":3,\"error.message\":\"a b\"}" },
    { "a name made beforehand",  "%s=late source=%s", "relay", "here", "{\"relay\":\"late\",\"source\":\"here\"}" },
    { "escapes",                 "a=%s", "\\ \" / \t\x01\x1f\x7f", "", "{\"a\":\"\\\\ \\\" /     \"}" },
    { "lines of Unicode",        "a=%s", "x\xe2\x80\xa8y\xe2\x80\xa9z\xc2\x85w", "", "{\"a\":\"x   y   z  w\"}" },
    { "other characters stay",   "a=%s", "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x92\xb4", "", "{\"a\":\"\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x92\xb4\"}" },
    { "no UTF-8",                "a=%s", "\xff\xc0\xaf\xed\xa0\x80 \xe6\x97", "", "{\"a\":\"?????\? ?\?\"}" },
    { "percent",                 "a=5%% b=%s", "%s%n", "",         "{\"a\":\"5%\",\"b\":\"%s%n\"}" },
};
/* clang-format on */

/* The members between the head and the message. */
START_TEST(the_words_are_members)
{
    size_t bytes;
    json_t *json, *expected = json_loads(rows[_i].members, 0, NULL);
    static const char *const of_the_line[] = { "timestamp",    "severity",        "severity_number",
                                               "service.name", "service.version", "message" };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    bytes = print(&short_head, rows[_i].format, rows[_i].first, rows[_i].second);
#pragma GCC diagnostic pop
    json = read_line(line, bytes);
    for (int i = 0; i < ROWS(of_the_line); i++)
        ck_assert_int_eq(json_object_del(json, of_the_line[i]), 0);
    ck_assert_msg(json_equal(json, expected), "%s: %s", rows[_i].what, line);
    json_decref(json);
    json_decref(expected);
}
END_TEST

START_TEST(what_is_too_long_is_cut)
{
    static char text[4 * LOG_JSON_BYTES_MAX];
    json_t *json;

    memset(text, '"', sizeof text - 1);
    json = read_line(line, print(&head, "order=o-1 because=\"%s\" last=1", text));
    ck_assert(json_is_true(json_object_get(json, "cut")));
    ck_assert_str_eq(json_string_value(json_object_get(json, "order")), "o-1");
    ck_assert_uint_gt(json_string_length(json_object_get(json, "message")), 32);
    json_decref(json);
    for (size_t bytes = 0; bytes < 2 * TEXT_MAX; bytes += 7) { /* no length splits a line */
        text[bytes] = '\0';
        json_decref(read_line(line, print(&head, "a=1 because=\"%s\" b=%s c=3", text, text)));
        text[bytes] = '"';
    }
    for (size_t i = 0; i + 4 < sizeof text; i += 4)
        memcpy(text + i, "a=1 ", 4);
    json_decref(read_line(line, print(&head, "%s", text)));
}
END_TEST

/* ---- any text of a stranger's ---- */

static size_t
text_fill(char *text, size_t max, unsigned *seed)
{
    static const char *const pieces[] = {
        "\"",       " ",    "=",    "order=", "\" order=\"x\"", "\\",           "\\u0000",
        "'",        "\n",   "\r",   "\t",     "\x7f",           "\xe2\x80\xa8", "\xe6\x97\xa5",
        "\xf0\x9f", "\xff", "\x80", "\x01",   "{\"a\":1}",      "%s",           "%n",
        "00",       "-1",   "",
    };
    size_t bytes = 0, wanted = (size_t)rand_r(seed) % max;

    while (bytes < wanted) {
        const char *piece = pieces[rand_r(seed) % ROWS(pieces)];
        size_t piece_bytes = strlen(piece);

        if (piece_bytes == 0) {
            text[bytes++] = (char)(1 + rand_r(seed) % 255);
            continue;
        }
        if (bytes + piece_bytes > max)
            break;
        memcpy(text + bytes, piece, piece_bytes);
        bytes += piece_bytes;
    }
    text[bytes] = '\0';
    return bytes;
}

/* What a value must be that came out of text. */
static char *
expected_value(const char *text)
{
    char *value = strdup(text);
    size_t bytes = strlen(value);

    terminal_clean(value);
    for (size_t at = 0; at < bytes;) {
        size_t count = utf8_bytes(value + at, bytes - at);

        if (count == 0)
            value[at] = '?';
        at += count == 0 ? 1 : count;
    }
    return value;
}

static void
must_be(const json_t *json, const char *name, const char *text)
{
    char *value = expected_value(text);

    ck_assert_msg(strcmp(json_string_value(json_object_get(json, name)), value) == 0, "%s: %s",
                  name, line);
    free(value);
}

/* The same members for every text, and in each the text. */
START_TEST(a_stranger_is_the_inside_of_a_value)
{
    enum { TURNS = 4000, MEMBERS = 8 + 4 + 1 };
    unsigned seed = 1;
    char first[257], second[257];

    for (int i = 0; i < TURNS; i++) {
        json_t *json;
        bool is_plain;

        text_fill(first, sizeof first - 1, &seed);
        text_fill(second, sizeof second - 1, &seed);
        is_plain = second[0] != ' ' && second[0] > 0x1f && second[0] != 0x7f;
        json = read_line(line, print(&head, "order=%s because=\"%s\" n=%d from=%s", "o-1", first, i,
                                     is_plain ? second : "-"));
        ck_assert_uint_eq(json_object_size(json), MEMBERS);
        ck_assert_str_eq(json_string_value(json_object_get(json, "order")), "o-1");
        ck_assert_int_eq(json_integer_value(json_object_get(json, "n")), i);
        must_be(json, "error.message", first);
        must_be(json, "from", is_plain ? second : "-");
        json_decref(json);
    }
}
END_TEST

/* Where a line was made beforehand nothing tells a stranger's words apart: still one object a line. */
START_TEST(any_line_is_an_object)
{
    enum { TURNS = 500 };
    static char text[2 * TEXT_MAX];
    unsigned seed = 2;

    for (int i = 0; i < TURNS; i++) {
        text_fill(text, sizeof text - 1, &seed);
        json_decref(read_line(line, print(&head, "%s", text)));
    }
}
END_TEST

/* ---- as they are written ---- */

enum { WRITERS = 4, LINES = 500 };

static void *
write_lines(void *context)
{
    int writer = *(int *)context;
    struct log_trace before;
    char text[1500];

    memset(text, 'x', sizeof text);
    before = log_trace_begin("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for (int i = 0; i < LINES; i++)
        log_line(LOG_INFO, "writer=%d line=%d because=\"%.*s\"", writer, i,
                 i * 3 % (int)sizeof text, text);
    log_trace_end(&before);
    log_line(LOG_INFO, "writer=%d line=%d", writer, LINES);
    return NULL;
}

static void
check_line(const char *text, int *next)
{
    json_t *json = read_line(text, strlen(text));
    json_int_t writer = json_integer_value(json_object_get(json, "writer"));
    json_int_t number = json_integer_value(json_object_get(json, "line"));

    ck_assert(writer >= 0 && writer < WRITERS);
    ck_assert_int_eq(number, next[writer]++);
    ck_assert_int_eq(json_object_get(json, "trace_id") != NULL, number < LINES);
    json_decref(json);
}

/* Into a pipe that is full all the time. */
START_TEST(threads_do_not_mix_their_lines)
{
    char text[LOG_JSON_BYTES_MAX + 2];
    int standard_error = dup(STDERR_FILENO), ends[2], numbers[WRITERS], next[WRITERS] = { 0 };
    pthread_t threads[WRITERS];
    FILE *read_end;

    ck_assert_int_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_open("test", LOG_INFO);
    log_open_json("0");
    for (int i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &numbers[i]), 0);
    }
    read_end = fdopen(ends[0], "r");
    for (int i = 0; i < WRITERS * (LINES + 1); i++) {
        ck_assert_ptr_nonnull(fgets(text, sizeof text, read_end));
        check_line(text, next);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    fclose(read_end);
}
END_TEST

int
main(void)
{
    TCase *words = check_case("words"), *strangers = check_case("strangers"),
          *lines = check_case("lines");

    log_json_open();
    tcase_add_test(words, the_head_stands_first);
    tcase_add_loop_test(words, the_words_are_members, 0, ROWS(rows));
    tcase_add_test(words, what_is_too_long_is_cut);
    tcase_add_test(strangers, a_stranger_is_the_inside_of_a_value);
    tcase_add_test(strangers, any_line_is_an_object);
    tcase_add_test(lines, threads_do_not_mix_their_lines);
    return check_run("base_log_json", words, strangers, lines);
}
