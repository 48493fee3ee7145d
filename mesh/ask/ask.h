/* ask.h -- One HTTP request to a stranger: how it is made, and how much of the answer is read.
 *
 * A request goes where its URL says and nowhere else: redirections are not followed, TLS is 1.2 or newer and
 * its certificate is checked, and a proxy of the environment is not asked for this machine. The caller has a
 * multi handle of libcurl and performs it there.
 *
 *     ask_begin(&ask, &request, job);
 *     curl_multi_add_handle(multi, ask.easy);
 *     ... curl_multi_perform, CURLMSG_DONE with CURLINFO_PRIVATE == job ...
 *     status = ask_status(&ask, code);
 *     ask_end(&ask, multi);
 *
 * Thread    The caller's; it has called curl_global_init().
 * Memory    A request's body must live until ask_end(); its other texts are copied.
 * Errors    A status of 0: no answer came, or it was not read to its end.
 * Units     *_ms milliseconds, *_us microseconds.
 */
#ifndef MESH_ASK_ASK_H
#define MESH_ASK_ASK_H

#include <curl/curl.h>

#include <stdbool.h>
#include <stdint.h>

struct ask_request {
    const char *method; /* "POST" */
    const char *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const char *body;  /* NULL: none */
    size_t body_bytes; /* 0: it is a text, which ends with a NUL */
    long connect_ms, answer_ms;
    size_t answer_bytes_max;
};

struct ask {
    CURL *easy;
    struct curl_slist *headers;
    size_t bytes_max;
    char *body; /* of the answer; NULL: it has none */
    size_t body_bytes;
    bool is_too_long; /* the answer: it was not read to its end */
};

void ask_begin(struct ask *ask, const struct ask_request *request, void *owner);

/* Of the answer, when libcurl has said how the request ended. */
int ask_status(const struct ask *ask, CURLcode code);

/* How long the answer asks to wait; 0: it does not say. A day at most. */
int64_t ask_retry_after_us(const struct ask *ask);

/* Zeros are fine, and what that leaves. */
void ask_end(struct ask *ask, CURLM *multi);

/* Is the host of an http or https URL this machine: localhost, 127.0.0.0/8 or [::1]? */
bool ask_url_is_loopback(const char *url);

/* Why secrets must not be sent to this URL; NULL: they may. */
const char *ask_why_not_safe(const char *url);

#endif
