/* TLS of the HTTP server: which handshakes come about, which certificate is shown, files that change, strangers who shake
 * hands without end. That requests are answered as over plain connections is in test_http_server. */
#include "mesh/base/log.h"
#include "mesh/http/https.h"
#include "mesh/observe/metrics.h"
#include "tests/support/certificates.h"
#include "tests/support/check.h"
#include "tests/support/http/http_harness.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET /hello/you HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_LAST "GET /hello/you HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

static void
begin(void)
{
    log_open("test", LOG_WARN);
    tls_server_set_up();
}

/* Waits until the session has shaken hands, or will not. */
static bool
shake(SSL *ssl)
{
    struct pollfd poll_fd = { .fd = SSL_get_fd(ssl) };
    int result, want;

    ERR_clear_error();
    while ((result = SSL_connect(ssl)) != 1) {
        want = SSL_get_error(ssl, result);
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return false;
        poll_fd.events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        ck_assert_int_gt(poll(&poll_fd, 1, (int)(patient_us(PATIENCE_MS * 1000) / 1000)), 0);
    }
    return true;
}

/* A session of its own kind; the socket is closed with it by session_end(). */
static SSL *
session_begin(void)
{
    int fd = client_open();

    return tls_client_new(fd);
}

static void
session_end(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    SSL_free(ssl);
    close(fd);
}

/* ---- handshakes ---- */

/* clang-format off */
static const struct {
    const char *what, *protocols; /* of ALPN, with their lengths; NULL: none offered */
    int version;                  /* the client's only one; 0: any */
    const char *chosen;           /* "": none; NULL: no handshake comes about */
    int alert;                    /* SSL_R_*, of one that does not */
} handshakes[] = {
    { "no ALPN",              NULL,                0,              "",         0 },
    { "HTTP/1.1",             "\x8http/1.1",       0,              "http/1.1", 0 },
    { "HTTP/2 is preferred",  "\2h2\x8http/1.1",   0,              "http/1.1", 0 },
    { "HTTP/2 only",          "\2h2",              0,              NULL,       SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL },
    { "TLS 1.3",              NULL,                TLS1_3_VERSION, "",         0 },
    { "TLS 1.2",              NULL,                TLS1_2_VERSION, "",         0 },
    { "TLS 1.1",              NULL,                TLS1_1_VERSION, NULL,       SSL_R_TLSV1_ALERT_PROTOCOL_VERSION },
};
/* clang-format on */

START_TEST(a_handshake_comes_about_or_is_refused)
{
    SSL *ssl = session_begin();
    const unsigned char *chosen;
    unsigned int bytes;
    bool is_done;

    if (handshakes[_i].protocols != NULL)
        SSL_set_alpn_protos(ssl, (const unsigned char *)handshakes[_i].protocols,
                            (unsigned)strlen(handshakes[_i].protocols));
    if (handshakes[_i].version != 0) {
        SSL_set_security_level(ssl, 0); /* else the client itself says nothing older than 1.2 */
        SSL_set_min_proto_version(ssl, handshakes[_i].version);
        SSL_set_max_proto_version(ssl, handshakes[_i].version);
    }
    is_done = shake(ssl);
    ck_assert_msg(is_done == (handshakes[_i].chosen != NULL), "%s: %s", handshakes[_i].what,
                  ERR_reason_error_string(ERR_peek_error()));
    if (is_done) {
        SSL_get0_alpn_selected(ssl, &chosen, &bytes);
        ck_assert_msg(
            bytes == strlen(handshakes[_i].chosen) &&
                strncmp(bytes == 0 ? "" : (const char *)chosen, handshakes[_i].chosen, bytes) == 0,
            "%s: %.*s", handshakes[_i].what, (int)bytes, chosen);
    } else {
        ck_assert_msg(ERR_GET_REASON(ERR_peek_error()) == handshakes[_i].alert, "%s: %s",
                      handshakes[_i].what, ERR_reason_error_string(ERR_peek_error()));
    }
    session_end(ssl);
}
END_TEST

START_TEST(a_client_does_not_renegotiate)
{
    SSL *ssl = session_begin();
    char byte;
    int result;

    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    ck_assert(shake(ssl));
    ck_assert_int_eq(SSL_renegotiate(ssl), 1);
    while ((result = SSL_do_handshake(ssl)) != 1) {
        struct pollfd poll_fd = { .fd = SSL_get_fd(ssl), .events = POLLIN };

        if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ)
            break;
        ck_assert_int_gt(poll(&poll_fd, 1, PATIENCE_MS), 0);
    }
    ck_assert_int_ne(result, 1);
    ck_assert_int_eq(SSL_read(ssl, &byte, 1), -1);
    session_end(ssl);
}
END_TEST

static bool
has_failed_handshake(const struct http_server_counters *counters)
{
    return counters->handshakes_failed == 1 && counters->open == 0;
}

/* Plain HTTP, and bytes that are nothing at all. */
START_TEST(what_is_no_handshake_ends_the_connection)
{
    static const char *const texts[] = { GET, "\x16\x03\x01\x02\x00\x01\x7f\xff\xff garbage",
                                         "\x80\x2e\x01\x00\x02" };
    char text[TEXT_BYTES];
    int fd = client_open();

    ck_assert_int_gt(send(fd, texts[_i], strlen(texts[_i]), MSG_NOSIGNAL), 0);
    shutdown(fd, SHUT_WR);
    while (recv(fd, text, sizeof text, MSG_DONTWAIT) > 0)
        continue;
    counters_wait(has_failed_handshake);
    close(fd);
}
END_TEST

START_TEST(a_handshake_has_a_time_limit)
{
    int64_t start_us = clock_steady_us();
    int fd;

    server_tear_down();
    server_start((struct http_server_options){ .head_timeout_ms = 200 });
    fd = client_open();
    ck_assert_int_eq(send(fd, "\x16\x03\x01\x02\x00", 5, MSG_NOSIGNAL), 5);
    counters_wait(has_failed_handshake);
    ck_assert_int_ge(clock_steady_us() - start_us, 190 * 1000);
    close(fd);
}
END_TEST

static bool
holds_the_most(const struct http_server_counters *counters)
{
    return counters->connections >= 600 && counters->open <= 512;
}

/* However many shake hands without end, they hold so many at most, and who is in earnest gets in. */
START_TEST(handshakes_without_end_make_room)
{
    enum { COUNT = 600 };
    static int fds[COUNT];
    char text[TEXT_BYTES];
    int fd;

    for (int i = 0; i < COUNT; i++)
        fds[i] = client_open(); /* and says nothing */
    counters_wait(holds_the_most);
    fd = client_open();
    client_say(fd, GET);
    ck_assert_ptr_nonnull(strstr(client_hear_one(fd, text), "hello you"));
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    close(fd);
}
END_TEST

START_TEST(browsers_are_told_to_keep_to_https)
{
    char text[TEXT_BYTES];
    int fd = client_open();

    client_say(fd, GET);
    ck_assert_ptr_nonnull(
        strstr(client_hear_one(fd, text), "\r\nStrict-Transport-Security: max-age=60\r\n"));
    close(fd);
}
END_TEST

/* ---- the clients that people have ---- */

/* clang-format off */
static const struct {
    const char *what, *command, *says; /* %d: the port; %s: the CA's file */
} tools[] = {
    { "curl",               "curl -sS --http1.1 --noproxy '*' --cacert %2$s https://localhost:%1$d/hello/you", "hello you" },
    { "curl that offers 2", "curl -sS --http2 --noproxy '*' --cacert %2$s -w ' by %%{http_version}' https://localhost:%1$d/hello/you", "hello you by 1.1" },
    { "curl, another CA",   "curl -sS --noproxy '*' https://localhost:%1$d/hello/you 2>&1 # %2$s", "certificate" },
    { "openssl",            "printf 'GET /hello/you HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet -connect localhost:%1$d -CAfile %2$s -verify_return_error 2>&1", "hello you" },
};
/* clang-format on */

START_TEST(tools_of_others_are_served)
{
    char command[1024], text[TEXT_BYTES];
    FILE *pipe;
    size_t bytes;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, tools[_i].command, http_server_port(server),
             certificate_path("ca.crt"));
#pragma GCC diagnostic pop
    pipe = popen(command, "re");
    ck_assert_ptr_nonnull(pipe);
    bytes = fread(text, 1, sizeof text - 1, pipe);
    text[bytes] = '\0';
    pclose(pipe);
    ck_assert_msg(strstr(text, tools[_i].says) != NULL, "%s: %s", tools[_i].what, text);
}
END_TEST

/* ---- which certificate ---- */

static struct https *set; /* with several pairs, beside the harness's */

static void
pairs_begin(const char *const *names, const char *const *subjects, size_t count,
            struct metrics *metrics)
{
    static char cert[2048], key[2048]; /* the set has these texts */
    struct https_settings settings = { .cert = cert, .key = key };

    cert[0] = key[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char file[64];

        certificate_make(names[i], "ca", subjects[i], 30, 10 + (long)i);
        snprintf(file, sizeof file, "%s.crt", names[i]);
        snprintf(cert + strlen(cert), sizeof cert - strlen(cert), "%s%s", i == 0 ? "" : ",",
                 certificate_path(file));
        snprintf(file, sizeof file, "%s.key", names[i]);
        snprintf(key + strlen(key), sizeof key - strlen(key), "%s%s", i == 0 ? "" : ",",
                 certificate_path(file));
    }
    ck_assert_int_eq(https_open(&settings, metrics, https_files, &set), ERR_OK);
}

/* The certificate's serial number that a client is shown who asks for the name; NULL: for none. */
static long
serial_shown(const char *name)
{
    SSL *client, *ours = https_begin(set);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    BIO *a, *b;
    X509 *shown;
    long serial;

    client = SSL_new(context);
    ck_assert_int_eq(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(client, a, a);
    SSL_set_bio(ours, b, b);
    SSL_set_connect_state(client);
    SSL_set_accept_state(ours);
    if (name != NULL)
        SSL_set_tlsext_host_name(client, name);
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++)
        SSL_do_handshake(ours);
    ck_assert(SSL_is_init_finished(client));
    shown = SSL_get1_peer_certificate(client);
    serial = ASN1_INTEGER_get(X509_get_serialNumber(shown));
    X509_free(shown);
    SSL_free(client);
    SSL_free(ours);
    SSL_CTX_free(context);
    return serial;
}

START_TEST(the_name_chooses_the_certificate)
{
    static const char *const names[] = { "first", "second", "third" };
    static const char *const subjects[] = { "DNS:shop.example", "DNS:pay.example,DNS:pay2.example",
                                            "DNS:*.wild.example" };
    static const struct {
        const char *name;
        long serial;
    } asked[] = {
        { NULL, 10 },           { "shop.example", 10 },     { "pay.example", 11 },
        { "PAY.example", 11 },  { "pay2.example", 11 },     { "a.wild.example", 12 },
        { "wild.example", 10 }, { "a.b.wild.example", 10 }, { "another.example", 10 },
        { "ay.example", 10 },
    };
    struct metrics *metrics = metrics_new();

    pairs_begin(names, subjects, 3, metrics);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        ck_assert_msg(serial_shown(asked[i].name) == asked[i].serial, "%s",
                      asked[i].name == NULL ? "none" : asked[i].name);
    set = https_close(set);
    metrics_free(metrics);
}
END_TEST

static void
look_twice(void)
{
    file_watch_look(https_files, false); /* sees the change */
    file_watch_look(https_files, false); /* and that it is whole */
}

START_TEST(files_that_change_are_read_again)
{
    static const char *const names[] = { "one", "two" };
    static const char *const subjects[] = { "DNS:one.example", "DNS:two.example" };
    char key[512], kept[512];

    pairs_begin(names, subjects, 2, NULL);
    certificate_make("two", "ca", "DNS:two.example", 30, 21);
    ck_assert_int_eq(serial_shown("two.example"), 11);
    file_watch_look(https_files, false);
    ck_assert_int_eq(serial_shown("two.example"), 11); /* may be half of a pair */
    file_watch_look(https_files, false);
    ck_assert_int_eq(serial_shown("two.example"), 21);
    ck_assert_int_eq(serial_shown("one.example"), 10);

    /* A key of another certificate, and none at all: the last pair stands, until they fit again. */
    snprintf(key, sizeof key, "%s", certificate_path("two.key"));
    snprintf(kept, sizeof kept, "%s", certificate_path("kept.key"));
    ck_assert_int_eq(rename(key, kept), 0);
    look_twice();
    ck_assert_int_eq(serial_shown("two.example"), 21);
    certificate_make("other", "ca", "DNS:two.example", 30, 22);
    ck_assert_int_eq(rename(certificate_path("other.key"), key), 0);
    look_twice();
    ck_assert_int_eq(serial_shown("two.example"), 21);
    ck_assert_int_eq(rename(certificate_path("other.crt"), certificate_path("two.crt")), 0);
    look_twice();
    ck_assert_int_eq(serial_shown("two.example"), 22);
    set = https_close(set);
}
END_TEST

/* A new certificate is for new connections; old ones go on, their answers too. */
START_TEST(connections_outlive_their_certificate)
{
    char text[TEXT_BYTES];
    int before = client_open(), after;

    client_say(before, GET);
    ck_assert_ptr_nonnull(strstr(client_hear_one(before, text), "hello you"));
    certificate_make("server", "ca", "DNS:localhost", 30, 77);
    look_twice();
    client_say(before, GET_LAST);
    ck_assert(client_hear_end(before, text));
    ck_assert_ptr_nonnull(strstr(text, "hello you"));
    after = client_open();
    client_say(after, GET_LAST);
    ck_assert(client_hear_end(after, text));
    ck_assert_ptr_nonnull(strstr(text, "hello you"));
    close(before);
    close(after);
}
END_TEST

/* ---- settings that are refused ---- */

/* clang-format off */
static const struct {
    const char *what, *cert, *key;
    enum error error;
} settings_rows[] = {
    { "plain",                   "",                      "",                      ERR_OK },
    { "a pair",                  "server.crt",            "server.key",            ERR_OK },
    { "two pairs",               "server.crt,other.crt",  "server.key,other.key",  ERR_OK },
    { "no key",                  "server.crt",            "",                      ERR_BAD_REQUEST },
    { "no certificate",          "",                      "server.key",            ERR_BAD_REQUEST },
    { "more keys",               "server.crt",            "server.key,other.key",  ERR_BAD_REQUEST },
    { "more certificates",       "server.crt,other.crt",  "server.key",            ERR_BAD_REQUEST },
    { "the other order",         "server.crt,other.crt",  "other.key,server.key",  ERR_BAD_REQUEST },
    { "no such file",            "none.crt",              "server.key",            ERR_BAD_REQUEST },
    { "no such key",             "server.crt",            "none.key",              ERR_BAD_REQUEST },
    { "a key as a certificate",  "server.key",            "server.key",            ERR_BAD_REQUEST },
    { "a certificate as a key",  "server.crt",            "server.crt",            ERR_BAD_REQUEST },
    { "the key of another",      "server.crt",            "other.key",             ERR_BAD_REQUEST },
    { "one that has expired",    "old.crt",               "old.key",               ERR_BAD_REQUEST },
    { "an empty name",           "server.crt,,other.crt", "server.key,,other.key", ERR_BAD_REQUEST },
};
/* clang-format on */

/* "a,b" with the folder before each. */
static void
paths_of(const char *files, char paths[2048])
{
    paths[0] = '\0';
    for (const char *at = files; *at != '\0'; at += strcspn(at, ",") + (strchr(at, ',') != NULL)) {
        char file[64];

        snprintf(file, sizeof file, "%.*s", (int)strcspn(at, ","), at);
        snprintf(paths + strlen(paths), 2048 - strlen(paths), "%s%s", at == files ? "" : ",",
                 file[0] == '\0' ? "" : certificate_path(file));
    }
}

START_TEST(settings_are_taken_or_refused)
{
    char cert[2048], key[2048];
    struct https_settings settings = { .cert = cert, .key = key };
    bool is_on;

    certificate_make("other", "ca", "DNS:other.example", 30, 3);
    certificate_make("old", "ca", "DNS:old.example", -1, 4);
    paths_of(settings_rows[_i].cert, cert);
    paths_of(settings_rows[_i].key, key);
    is_on = settings_rows[_i].error == ERR_OK && cert[0] != '\0';
    ck_assert_msg(https_open(&settings, NULL, NULL, &set) == settings_rows[_i].error, "%s",
                  settings_rows[_i].what);
    ck_assert_msg((set != NULL) == is_on, "%s", settings_rows[_i].what);
    set = https_close(set);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("TLS");

    tcase_add_checked_fixture(cases, begin, tls_server_tear_down);
    tcase_add_loop_test(cases, a_handshake_comes_about_or_is_refused, 0, ROWS(handshakes));
    tcase_add_test(cases, a_client_does_not_renegotiate);
    tcase_add_loop_test(cases, what_is_no_handshake_ends_the_connection, 0, 3);
    tcase_add_test(cases, a_handshake_has_a_time_limit);
    tcase_add_test(cases, handshakes_without_end_make_room);
    tcase_add_test(cases, browsers_are_told_to_keep_to_https);
    tcase_add_loop_test(cases, tools_of_others_are_served, 0, ROWS(tools));
    tcase_add_test(cases, the_name_chooses_the_certificate);
    tcase_add_test(cases, files_that_change_are_read_again);
    tcase_add_test(cases, connections_outlive_their_certificate);
    tcase_add_loop_test(cases, settings_are_taken_or_refused, 0, ROWS(settings_rows));
    return check_run("wire_http_tls", cases);
}
