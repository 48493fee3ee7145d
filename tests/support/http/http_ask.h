/* http_ask.h -- One question to a port of this machine, and its answer. */
#ifndef TESTS_SUPPORT_HTTP_HTTP_ASK_H
#define TESTS_SUPPORT_HTTP_HTTP_ASK_H

enum { HTTP_ASK_BYTES = 64 * 1024 };

/* GET path, with headers ("Accept: text/plain\r\n", or ""): head and body of the answer, in a buffer of this function's,
 * which the next call uses too. Of one thread. */
const char *http_ask(int port, const char *path, const char *headers);

#endif
