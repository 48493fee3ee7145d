/* http_harness.h -- A server on a free port with a few routes, and a client that is only a socket, or one with a session of
 * TLS: which of them is said by the fixture, and the tests are the same. */
#ifndef TESTS_SUPPORT_HTTP_HTTP_HARNESS_H
#define TESTS_SUPPORT_HTTP_HTTP_HARNESS_H

#include "mesh/base/clock.h"
#include "mesh/http/https.h"
#include "mesh/http/server.h"
#include "mesh/observe/file_watch.h"
#include "tests/support/check.h"

enum { TEXT_BYTES = 16 * 1024, PATIENCE_MS = 5000, PENDING_MAX = 1200, BIG_BYTES = 8 << 20 };
extern const struct http_route routes[];
extern struct http_server *server;

void server_start(struct http_server_options options);
void server_set_up(void);
void server_tear_down(void);

/* Servers that are started from now on have a certificate for localhost, "server.crt" of "ca.crt" (certificates.h), and
 * clients that are opened speak TLS. */
void tls_set_up(void);
void tls_tear_down(void); /* after the server */
void tls_server_set_up(void);
void tls_server_tear_down(void);
extern struct https *https; /* of the servers; NULL: they speak plain */
extern struct file_watch *https_files;

/* A client of it that knows the CA; its handshake is to be done. */
SSL *tls_client_new(int fd);

/* The next exchange that waits for its answer. */
struct http_exchange *pending_take(void);

void pending_answer(void);
int client_open(void);
void client_begin(int fd); /* what client_open() does once the socket is connected */
void client_say(int fd, const char *text);

/* What the socket takes at once. -1: nothing, or the connection is gone. */
ssize_t client_send(int fd, const char *bytes, size_t count);

/* More bytes of the answer: their number, 0 at its end, -1 after wait_ms or a reset. */
ssize_t client_hear(int fd, char *bytes, size_t size, int wait_ms);

/* Everything up to the end of the connection; false when it does not end, or by a reset. */
bool client_hear_end(int fd, char text[TEXT_BYTES]);

/* One answer with a Content-Length (or none and no body); what comes behind it is a failure. */
const char *client_hear_one(int fd, char text[TEXT_BYTES]);

void counters_wait(bool (*is_so)(const struct http_server_counters *));

#endif
