/* HTTP/1.1 requests out of bytes: what is taken, what is refused and with which status. Every row is
 * read whole, byte by byte and in odd pieces, and must come out the same. */
#include "mesh/http/http1.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 32, TOLD_BYTES = 4096 };

#define HEAD "POST /p HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"

/* clang-format off */
static const struct {
    const char *what, *bytes, *told; /* told: "METHOD path?query body|" for each request, then "!status" */
} rows[] = {
    { "a plain request",                   GET "\r\n",                                        "GET /? |" },
    { "half a request",                    GET,                                               "" },
    { "two requests at once",              GET "\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",      "GET /? |GET /2? |" },
    { "two blank lines before it",         "\r\n\r\n" GET "\r\n",                             "GET /? |" },
    { "three blank lines before it",       "\r\n\r\n\r\n" GET "\r\n",                         "!400" },
    { "a body behind its length",          HEAD "Content-Length: 3\r\n\r\nabcGET",            "POST /p? abc|" },
    { "a body of nothing",                 HEAD "Content-Length: 0\r\n\r\n",                  "POST /p? |" },
    { "a body that ends early",            HEAD "Content-Length: 4\r\n\r\nabc",               "" },
    { "body, then a request",              HEAD "Content-Length: 1\r\n\r\na" GET "\r\n",      "POST /p? a|GET /? |" },
    { "a query",                           "GET /a?b=1&c HTTP/1.1\r\nHost: h\r\n\r\n",        "GET /a?b=1&c |" },
    { "an escaped path",                   "GET /a%20b%C3%A9 HTTP/1.1\r\nHost: h\r\n\r\n",    "GET /a b\xc3\xa9? |" },
    { "a proxy's absolute target",         "GET http://x:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n",  "GET /a?b |" },
    { "an absolute target without a path", "GET http://x HTTP/1.1\r\nHost: h\r\n\r\n",        "GET /? |" },
    { "the same with a query",             "GET https://x?q HTTP/1.1\r\nHost: h\r\n\r\n",     "GET /?q |" },
    { "options of everything",             "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",           "OPTIONS *? |" },
    { "1.0 without a Host",                "GET / HTTP/1.0\r\n\r\n",                          "GET /? |" },
    { "an empty value",                    GET "X:\r\nY: \t \r\n\r\n",                        "GET /? |" },
    { "a value beyond ASCII",              GET "X: \xe9\r\n\r\n",                             "GET /? |" },

    /* lines */
    { "LF without CR",                     "GET / HTTP/1.1\nHost: h\r\n\r\n",                 "!400" },
    { "LF alone between fields",           GET "X: 1\nY: 2\r\n\r\n",                          "!400" },
    { "LF LF at the end",                  "GET / HTTP/1.1\r\nHost: h\n\n",                   "!400" },
    { "CR without LF",                     GET "X: 1\rY: 2\r\n\r\n",                          "!400" },
    { "CR CR LF",                          GET "X: 1\r\r\n\r\n",                              "!400" },
    { "a control character",               GET "X: a\x01z\r\n\r\n",                           "!400" },
    { "a DEL",                             GET "X: a\x7fz\r\n\r\n",                           "!400" },
    { "a folded line",                     GET "X: a\r\n b\r\n\r\n",                          "!400" },
    { "a line folded by a tab",            GET "X: a\r\n\tb\r\n\r\n",                         "!400" },
    { "a blank before the first field",    "GET / HTTP/1.1\r\n Host: h\r\n\r\n",              "!400" },
    { "a blank before the request line",   " GET / HTTP/1.1\r\nHost: h\r\n\r\n",              "!400" },
    { "TLS on this port",                  "\x16\x03\x01\x02",                                "!400" },

    /* the request line */
    { "no version",                        "GET /\r\nHost: h\r\n\r\n",                        "!400" },
    { "version 0.9",                       "GET / HTTP/0.9\r\nHost: h\r\n\r\n",               "!505" },
    { "version 1.2",                       "GET / HTTP/1.2\r\nHost: h\r\n\r\n",               "!505" },
    { "version 2.0",                       "GET / HTTP/2.0\r\nHost: h\r\n\r\n",               "!505" },
    { "HTTP/2's preface",                  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                "!505" },
    { "a version in small letters",        "GET / http/1.1\r\nHost: h\r\n\r\n",               "!400" },
    { "another protocol",                  "SETUP / RTSP/1.0\r\nHost: h\r\n\r\n",             "!400" },
    { "a method in small letters",         "get / HTTP/1.1\r\nHost: h\r\n\r\n",               "!400" },
    { "an unknown method",                 "BREW / HTTP/1.1\r\nHost: h\r\n\r\n",              "!405" },
    { "CONNECT",                           "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n",         "!405" },
    { "TRACE",                             "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n",             "!405" },
    { "two blanks",                        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",              "!400" },
    { "a tab",                             "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",              "!400" },
    { "a blank behind the version",        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",              "!400" },
    { "more behind the version",           "GET / HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n",      "!400" },
    { "no target",                         "GET HTTP/1.1\r\nHost: h\r\n\r\n",                 "!400" },
    { "a target without its slash",        "GET a HTTP/1.1\r\nHost: h\r\n\r\n",               "!400" },
    { "only a query",                      "GET ?a HTTP/1.1\r\nHost: h\r\n\r\n",              "!400" },
    { "a star that is not OPTIONS'",       "GET * HTTP/1.1\r\nHost: h\r\n\r\n",               "!400" },
    { "a fragment",                        "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",            "!400" },
    { "bare UTF-8 in the target",          "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",       "!400" },
    { "half an escape",                    "GET /a%2 HTTP/1.1\r\nHost: h\r\n\r\n",            "!400" },
    { "an escape that is none",            "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n",           "!400" },
    { "an escaped NUL",                    "GET /a%00 HTTP/1.1\r\nHost: h\r\n\r\n",           "!400" },
    { "an escaped line end",               "GET /a%0d%0a HTTP/1.1\r\nHost: h\r\n\r\n",        "!400" },
    { "an escaped slash",                  "GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n",          "!400" },
    { "escapes that are no UTF-8",         "GET /%c3%28 HTTP/1.1\r\nHost: h\r\n\r\n",         "!400" },
    { "overlong UTF-8",                    "GET /%c0%ae HTTP/1.1\r\nHost: h\r\n\r\n",         "!400" },
    { "a surrogate",                       "GET /%ed%a0%80 HTTP/1.1\r\nHost: h\r\n\r\n",      "!400" },

    /* fields */
    { "no Host",                           "GET / HTTP/1.1\r\n\r\n",                          "!400" },
    { "no version, and no line after it",  "GET /\r\n",                                      "!400" },
    { "only a method",                     "GET\r\n",                                        "!400" },
    { "two keys",                          HEAD "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", "!400" },
    { "two equal keys",                    HEAD "Idempotency-Key: a\r\nidempotency-key: a\r\n\r\n", "!400" },
    { "two tokens",                        GET "Authorization: a\r\nX: b\r\nAuthorization: c\r\n\r\n", "!400" },
    { "two types",                         HEAD "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n", "!400" },
    { "two signatures",                    HEAD "webhook-signature: a\r\nwebhook-signature: b\r\n\r\n", "!400" },
    { "two that no route reads",           GET "X: a\r\nX: b\r\n\r\n",                      "GET /? |" },
    { "two Hosts",                         GET "Host: h\r\n\r\n",                             "!400" },
    { "two Hosts on 1.0",                  "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",    "!400" },
    { "a list of Hosts",                   "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",            "!400" },
    { "a Host with a user",                "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",             "!400" },
    { "a blank before the colon",          GET "X : 1\r\n\r\n",                               "!400" },
    { "a blank in a name",                 GET "X Y: 1\r\n\r\n",                              "!400" },
    { "no name",                           GET ": 1\r\n\r\n",                                 "!400" },
    { "no colon",                          GET "X\r\n\r\n",                                   "!400" },
    { "another expectation",               HEAD "Expect: tea\r\nContent-Length: 1\r\n\r\n",   "!417" },

    /* lengths */
    { "both lengths",                      HEAD "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "!400" },
    { "both, the other way",               HEAD "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "!400" },
    { "two equal lengths",                 HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "!400" },
    { "a list of lengths",                 HEAD "Content-Length: 1, 1\r\n\r\na",              "!400" },
    { "a signed length",                   HEAD "Content-Length: +1\r\n\r\na",                "!400" },
    { "a length below nothing",            HEAD "Content-Length: -1\r\n\r\na",                "!400" },
    { "a length in hex",                   HEAD "Content-Length: 0x1\r\n\r\na",               "!400" },
    { "a length in two words",             HEAD "Content-Length: 1 1\r\n\r\na",               "!400" },
    { "no length in the field",            HEAD "Content-Length:\r\n\r\n",                    "!400" },
    { "a length past 64 bits",             HEAD "Content-Length: 18446744073709551617\r\n\r\n", "!400" },
    { "a length over the limit",           HEAD "Content-Length: 33\r\n\r\n",                 "!413" },
    { "the longest body",                  HEAD "Content-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef", "POST /p? 0123456789abcdef0123456789abcdef|" },
    { "another coding",                    HEAD "Transfer-Encoding: gzip\r\n\r\n",            "!501" },
    { "a coding before chunked",           HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n",   "!501" },
    { "a coding behind chunked",           HEAD "Transfer-Encoding: chunked, gzip\r\n\r\n",   "!501" },
    { "chunked twice",                     HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "!501" },
    { "nearly chunked",                    HEAD "Transfer-Encoding: xchunked\r\n\r\n",        "!501" },
    { "chunked in quotes",                 HEAD "Transfer-Encoding: \"chunked\"\r\n\r\n",     "!501" },
    { "chunked hidden by a control",       HEAD "Transfer-Encoding: \x0b" "chunked\r\n\r\n",  "!400" },
    { "chunked on 1.0",                    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400" },

    /* chunks */
    { "chunks",                            CHUNKED "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",         "POST /p? abcd|" },
    { "chunks and a request",              CHUNKED "1\r\na\r\n0\r\n\r\n" GET "\r\n",          "POST /p? a|GET /? |" },
    { "CHUNKED in capitals",               HEAD "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST /p? |" },
    { "a size in hex",                     CHUNKED "0A\r\n0123456789\r\n0\r\n\r\n",           "POST /p? 0123456789|" },
    { "an extension",                      CHUNKED "1;a=b\r\nx\r\n0\r\n\r\n",                "POST /p? x|" },
    { "an extension in quotes",            CHUNKED "1;a=\"b\"\r\nx\r\n0\r\n\r\n",          "POST /p? x|" },
    { "extensions without values",         CHUNKED "1;a;b\r\nx\r\n0\r\n\r\n",                "POST /p? x|" },
    { "two with values: llhttp's no",      CHUNKED "1;a=b;c=d\r\nx\r\n0\r\n\r\n",            "!400" },
    { "trailers are dropped",              CHUNKED "1\r\nx\r\n0\r\nHost: evil\r\nA: b\r\n\r\n" GET "\r\n", "POST /p? x|GET /? |" },
    { "a chunk cut off",                   CHUNKED "3\r\nab",                                 "" },
    { "no size",                           CHUNKED "\r\nabc\r\n",                             "!400" },
    { "a size that is none",               CHUNKED "g\r\n",                                   "!400" },
    { "a signed size",                     CHUNKED "+1\r\na\r\n0\r\n\r\n",                    "!400" },
    { "a size with 0x",                    CHUNKED "0x1\r\na\r\n0\r\n\r\n",                   "!400" },
    { "a chunk longer than it says",       CHUNKED "1\r\nab\r\n0\r\n\r\n",                    "!400" },
    { "a size ended by LF",                CHUNKED "1\na\r\n0\r\n\r\n",                       "!400" },
    { "an extension ended by LF",          CHUNKED "1;x\na\r\n0\r\n\r\n",                     "!400" },
    { "data ended by LF",                  CHUNKED "1\r\na\n0\r\n\r\n",                       "!400" },
    { "data ended by CR",                  CHUNKED "1\r\na\rX0\r\n\r\n",                      "!400" },
    { "a trailer ended by LF",             CHUNKED "0\r\nA: b\n\r\n",                         "!400" },
    { "a folded trailer",                  CHUNKED "0\r\nA: b\r\n c\r\n\r\n",                 "!400" },
    { "a size past 64 bits",               CHUNKED "10000000000000001\r\n",                   "!400" },
    { "a chunk over the limit",            CHUNKED "21\r\n",                                  "!413" },
    { "chunks over the limit",             CHUNKED "10\r\n0123456789abcdef\r\n11\r\n",        "!413" },
    { "a size of all ones",                CHUNKED "ffffffffffffffff\r\n",                    "!413" },
};
/* clang-format on */

static void
tell(char told[TOLD_BYTES], const struct http_request *request)
{
    size_t used = strlen(told);

    snprintf(told + used, TOLD_BYTES - used, "%s %s?%s %.*s|", request->method, request->path,
             request->query, (int)request->body_bytes,
             request->body == NULL ? "" : (const char *)request->body);
}

/* Reads bytes in pieces until they are used up or refused, and tells what came out. */
static void
read_all(struct http1 *http1, const char *bytes, size_t count, size_t piece, char told[TOLD_BYTES])
{
    size_t done = 0;

    told[0] = '\0';
    while (done < count) {
        size_t end = done + piece < count ? done + piece : count;

        while (done < end) {
            size_t used, more;
            enum http1_state state = http1_read(http1, bytes + done, end - done, &used);

            if (state == HTTP1_HAS_HEAD) {
                state = http1_read(http1, bytes + done + used, end - done - used, &more);
                used += more;
            }
            done += used;
            if (state == HTTP1_REFUSED) {
                const char *because;
                size_t told_bytes = strlen(told);

                snprintf(told + told_bytes, TOLD_BYTES - told_bytes, "!%d",
                         http1_status(http1, &because));
                ck_assert(because != NULL && because[0] != '\0');
                return;
            }
            if (state == HTTP1_HAS_REQUEST) {
                tell(told, http1_request(http1));
                http1_next(http1);
            }
        }
    }
}

static void
read_text(const char *bytes, size_t count, size_t piece, char told[TOLD_BYTES])
{
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, BODY_MAX);

    read_all(http1, bytes, count, piece, told);
    http1_free(http1);
    arena_free(arena);
}

START_TEST(bytes_are_one_request_or_none)
{
    static const size_t pieces[] = { 65536, 1, 2, 3, 7, 16 };
    char told[TOLD_BYTES];

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        read_text(rows[_i].bytes, strlen(rows[_i].bytes), pieces[i], told);
        ck_assert_msg(strcmp(told, rows[_i].told) == 0, "%s, in pieces of %zu: %s", rows[_i].what,
                      pieces[i], told);
    }
}
END_TEST

START_TEST(a_nul_is_refused)
{
    static const char bytes[] = GET "X: a\0b\r\n\r\n";
    char told[TOLD_BYTES];

    read_text(bytes, sizeof bytes - 1, 65536, told);
    ck_assert_str_eq(told, "!400");
}
END_TEST

/* start, count times repeated, end -> told */
struct long_row {
    const char *what, *start, *repeated;
    int count;
    const char *end, *told;
};

/* clang-format off */
static const struct long_row long_rows[] = {
    { "a target at the limit",     "GET /", "a", 4095, " HTTP/1.1\r\nHost: h\r\n\r\n",  NULL },
    { "a target over the limit",   "GET /", "a", 4200, " HTTP/1.1\r\nHost: h\r\n\r\n",  "!414" },
    { "a target without end",      "GET /", "a", 9000, "",                              "!414" },
    { "no method for long",        "",      "A", 33,   "",                              "!400" },
    { "64 fields",                 GET,     "A: b\r\n", 63, "\r\n",                     "GET /? |" },
    { "65 fields",                 GET,     "A: b\r\n", 64, "\r\n",                     "!431" },
    { "a head at 16 KB",           GET "X: ", "a", 16384 - 25 - 3 - 4, "\r\n\r\n",      "GET /? |" },
    { "a head over 16 KB",         GET "X: ", "a", 16384 - 25 - 3 - 3, "\r\n\r\n",      "!431" },
    { "a head without end",        GET "X: ", "a", 40000, "",                           "!431" },
    { "extensions of 4,000 bytes", CHUNKED "1;x=", "a", 4000, "\r\na\r\n0\r\n\r\n",     "POST /p? a|" },
    { "extensions without end",    CHUNKED "1;x=", "a", 4200, "",                       "!400" },
    { "blanks as extensions",      CHUNKED "1;", " ", 4200, "",                         "!400" },
    { "zeros before a size",       CHUNKED "",  "0", 4200, "",                          "!400" },
    { "many small extensions",     CHUNKED "0;x\r\n", "A:\r\n", 2000, "",               "!400" },
    { "trailers of 4,000 bytes",   CHUNKED "0\r\n", "A: bcde\r\n", 400, "\r\n",         "POST /p? |" },
    { "trailers without end",      CHUNKED "0\r\n", "A: bcde\r\n", 500, "",             "!400" },
};
/* clang-format on */

START_TEST(lengths_have_limits)
{
    const struct long_row *row = &long_rows[_i];
    size_t repeated = strlen(row->repeated);
    char *bytes = calloc(1, strlen(row->start) + repeated * (size_t)row->count + 100);
    char *at = stpcpy(bytes, row->start), told[TOLD_BYTES + 200];

    for (int i = 0; i < row->count; i++)
        at = stpcpy(at, row->repeated);
    strcpy(at, row->end);
    for (size_t piece = 1; piece < 100000; piece = piece * 37) {
        read_text(bytes, strlen(bytes), piece, told);
        if (row->told == NULL)
            ck_assert_msg(strncmp(told, "GET /aaa", 8) == 0, "%s: %s", row->what, told);
        else
            ck_assert_msg(strcmp(told, row->told) == 0, "%s, in pieces of %zu: %s", row->what,
                          piece, told);
    }
    free(bytes);
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *bytes;
    bool keeps_alive, wants_continue, wants_upgrade, has_body;
} wishes[] = {
    { "1.1 stays",                 GET "\r\n",                                    true,  false, false, false },
    { "1.1 that closes",           GET "Connection: Close\r\n\r\n",               false, false, false, false },
    { "close in a list",           GET "Connection: te , close\r\n\r\n",          false, false, false, false },
    { "close in a second field",   GET "Connection: te\r\nConnection: close\r\n\r\n", false, false, false, false },
    { "no word but like it",       GET "Connection: closed\r\n\r\n",              true,  false, false, false },
    { "1.0 goes",                  "GET / HTTP/1.0\r\n\r\n",                      false, false, false, false },
    { "1.0 that stays",            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false, false, false },
    { "a body on its way",         HEAD "Content-Length: 9\r\n\r\n",              true,  false, false, true },
    { "chunks on their way",       CHUNKED,                                       true,  false, false, true },
    { "waits for 100",             HEAD "Expect: 100-Continue\r\nContent-Length: 9\r\n\r\n", true, true, false, true },
    { "waits, without a body",     GET "Expect: 100-continue\r\n\r\n",            true,  false, false, false },
    { "1.0 cannot wait",           "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", false, false, false, true },
    { "a WebSocket",               GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", true, false, true, false },
    { "Upgrade without the token", GET "Upgrade: websocket\r\n\r\n",              true,  false, false, false },
    { "the token without Upgrade", GET "Connection: upgrade\r\n\r\n",             true,  false, false, false },
};
/* clang-format on */

START_TEST(wishes_are_understood)
{
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, BODY_MAX);
    const struct http_request *request = http1_request(http1);
    size_t used;

    ck_assert_int_eq(http1_read(http1, wishes[_i].bytes, strlen(wishes[_i].bytes), &used),
                     HTTP1_HAS_HEAD);
    ck_assert_uint_eq(used, strlen(wishes[_i].bytes));
    ck_assert_msg(request->keeps_alive == wishes[_i].keeps_alive, "%s", wishes[_i].what);
    ck_assert_msg(request->wants_continue == wishes[_i].wants_continue, "%s", wishes[_i].what);
    ck_assert_msg(request->wants_upgrade == wishes[_i].wants_upgrade, "%s", wishes[_i].what);
    ck_assert_msg(request->has_body == wishes[_i].has_body, "%s", wishes[_i].what);
    http1_free(http1);
    arena_free(arena);
}
END_TEST

START_TEST(fields_and_parameters_are_found)
{
    static const char bytes[] = "GET /?a=1&b=x%20y+z&c&d=%zz&e=%ff&a=2&ab=3&f=%00 HTTP/1.1\r\n"
                                "HOST: h\r\nX-Name: \t a  b \t\r\nEmpty:\r\nX-NAME: second\r\n\r\n";
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, 0);
    const struct http_request *request = http1_request(http1);
    size_t used;

    ck_assert_int_eq(http1_read(http1, bytes, sizeof bytes - 1, &used), HTTP1_HAS_HEAD);
    ck_assert_int_eq(http1_read(http1, "", 0, &used), HTTP1_HAS_REQUEST);
    ck_assert_str_eq(http_header_find(request, "host"), "h");
    ck_assert_str_eq(http_header_find(request, "x-name"), "a  b");
    ck_assert_str_eq(http_header_find(request, "empty"), "");
    ck_assert_str_eq(http_header_find(request, "x"), "");
    ck_assert_str_eq(http_query_find(request, "a", arena), "1");
    ck_assert_str_eq(http_query_find(request, "b", arena), "x y z");
    ck_assert_str_eq(http_query_find(request, "c", arena), "");
    ck_assert_str_eq(http_query_find(request, "ab", arena), "3");
    ck_assert_ptr_null(http_query_find(request, "d", arena)); /* badly escaped */
    ck_assert_ptr_null(http_query_find(request, "e", arena)); /* no UTF-8 */
    ck_assert_ptr_null(http_query_find(request, "f", arena)); /* a NUL */
    ck_assert_ptr_null(http_query_find(request, "g", arena)); /* not there */
    http1_free(http1);
    arena_free(arena);
}
END_TEST

/* clang-format off */
static const struct {
    const char *query, *told; /* "name=value;" each, "!" for a value that cannot be read */
} queries[] = {
    { "",                  "" },
    { "&&",                "" },
    { "a=1&b=x%20y+z&c&a", "a=1;b=x y z;c=;a=;" },
    { "&a==&=b&",          "a==;=b;" },
    { "a=%zz&b=%ff&c=%00", "a!;b!;c!;" },
    { "a%62=1",            "a%62=1;" },
};
/* clang-format on */

/* Lists that came in several fields are one; each field that is there once stays as it was. */
START_TEST(lists_in_several_fields_are_joined)
{
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, BODY_MAX);
    const char *head =
        GET "Accept-Encoding: br\r\nX: 1\r\nIf-None-Match: \"a\"\r\nAccept-Encoding:\r\n"
            "accept-encoding: gzip;q=0\r\nIf-None-Match: \"b\", \"c\"\r\nX: 2\r\n\r\n";
    const struct http_request *request = http1_request(http1);
    size_t used;

    ck_assert_int_eq(http1_read(http1, head, strlen(head), &used), HTTP1_HAS_HEAD);
    ck_assert_str_eq(http_header_find(request, "accept-encoding"), "br, gzip;q=0");
    ck_assert_str_eq(http_header_find(request, "if-none-match"), "\"a\", \"b\", \"c\"");
    ck_assert_str_eq(http_header_find(request, "host"), "h");
    ck_assert_uint_eq(request->header_count, 5);
    http1_free(http1);
    arena_free(arena);
}
END_TEST

START_TEST(parameters_are_read_one_by_one)
{
    struct arena *arena = arena_new();
    struct http_parameter parameter;
    const char *at = queries[_i].query, *told = "";

    while (http_query_next(&at, arena, &parameter))
        told = arena_print(arena, "%s%s%s%s;", told, parameter.name,
                           parameter.value == NULL ? "!" : "=",
                           parameter.value == NULL ? "" : parameter.value);
    ck_assert_str_eq(told, queries[_i].told);
    arena_free(arena);
}
END_TEST

START_TEST(a_route_has_its_own_limit_and_the_next_request_the_first_one)
{
    static const char bytes[] = HEAD "Content-Length: 9\r\n\r\n";
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, BODY_MAX);
    const char *because;
    size_t used;

    ck_assert_int_eq(http1_read(http1, bytes, sizeof bytes - 1, &used), HTTP1_HAS_HEAD);
    ck_assert(http1_set_body_max(http1, 9));
    ck_assert(!http1_set_body_max(http1, 8));
    ck_assert_int_eq(http1_status(http1, &because), 413);
    ck_assert_int_eq(http1_read(http1, "a", 1, &used), HTTP1_REFUSED); /* and stays so */
    http1_next(http1);
    ck_assert_int_eq(http1_read(http1, bytes, sizeof bytes - 1, &used), HTTP1_HAS_HEAD);
    ck_assert_int_eq(http1_read(http1, "123456789", 9, &used), HTTP1_HAS_REQUEST);
    ck_assert_uint_eq(used, 9);
    http1_free(http1);
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("requests");

    tcase_add_loop_test(cases, bytes_are_one_request_or_none, 0, ROWS(rows));
    tcase_add_test(cases, a_nul_is_refused);
    tcase_add_loop_test(cases, lengths_have_limits, 0, ROWS(long_rows));
    tcase_add_loop_test(cases, wishes_are_understood, 0, ROWS(wishes));
    tcase_add_test(cases, fields_and_parameters_are_found);
    tcase_add_test(cases, lists_in_several_fields_are_joined);
    tcase_add_loop_test(cases, parameters_are_read_one_by_one, 0, ROWS(queries));
    tcase_add_test(cases, a_route_has_its_own_limit_and_the_next_request_the_first_one);
    return check_run("wire_http1", cases);
}
