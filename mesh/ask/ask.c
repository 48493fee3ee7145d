#include "mesh/ask/ask.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_SECONDS = 86400 };

static size_t
take_body(char *data, size_t size, size_t count, void *context)
{
    struct ask *ask = context;
    size_t bytes = size * count;

    if (ask->body_bytes + bytes > ask->bytes_max)
        ask->is_too_long = true;
    if (ask->is_too_long)
        return 0; /* ends the request: an unknown outcome */
    ask->body = memory_grow(ask->body, ask->body_bytes + bytes + 1);
    memcpy(ask->body + ask->body_bytes, data, bytes);
    ask->body_bytes += bytes;
    ask->body[ask->body_bytes] = '\0';
    return bytes;
}

static void
set_options(struct ask *ask, const struct ask_request *request)
{
    CURL *easy = ask->easy;

    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->body_bytes > 0)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    if (request->body != NULL)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, ask->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, ask);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* or newer */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->answer_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "sagamesh");
    /* A name server that does not answer holds a thread of curl's for half a minute: it is not waited for, since
     * the caller's thread has others to ask. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    /* What comes from the environment (http_proxy) is for the world, not for this machine. */
    if (ask_url_is_loopback(request->url))
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

void
ask_begin(struct ask *ask, const struct ask_request *request, void *owner)
{
    *ask = (struct ask){ .easy = curl_easy_init(), .bytes_max = request->answer_bytes_max };
    if (ask->easy == NULL)
        abort();
    for (size_t i = 0; i < request->header_count; i++)
        ask->headers = curl_slist_append(ask->headers, request->headers[i]);
    ask->headers = curl_slist_append(ask->headers, "Expect:");
    set_options(ask, request);
    curl_easy_setopt(ask->easy, CURLOPT_PRIVATE, owner);
}

int
ask_status(const struct ask *ask, CURLcode code)
{
    long status = 0;

    if (code == CURLE_OK)
        curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

int64_t
ask_retry_after_us(const struct ask *ask)
{
    curl_off_t seconds = 0;

    curl_easy_getinfo(ask->easy, CURLINFO_RETRY_AFTER, &seconds);
    return (int64_t)(seconds > DAY_SECONDS ? DAY_SECONDS : seconds) * SECOND_US;
}

void
ask_end(struct ask *ask, CURLM *multi)
{
    if (ask->easy != NULL) {
        curl_multi_remove_handle(multi, ask->easy);
        curl_easy_cleanup(ask->easy);
    }
    curl_slist_free_all(ask->headers);
    free(ask->body);
    *ask = (struct ask){ 0 };
}

/* The whole host counts: 127.0.0.1.example is another host, and so is what follows a user's name. */
bool
ask_url_is_loopback(const char *url)
{
    const char *host = strstr(url, "://");
    struct in_addr address;
    char text[64];
    size_t bytes;

    if (host == NULL)
        return false;
    host += 3;
    if (strncmp(host, "[::1]", 5) == 0)
        return host[5] == '\0' || strchr(":/?#", host[5]) != NULL;
    bytes = strcspn(host, ":/?#");
    if (bytes >= sizeof text || memchr(host, '@', strcspn(host, "/?#")) != NULL)
        return false;
    memcpy(text, host, bytes);
    text[bytes] = '\0';
    return strcmp(text, "localhost") == 0 ||
           (inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

const char *
ask_why_not_safe(const char *url)
{
    if (strncmp(url, "https://", 8) == 0)
        return NULL;
    if (strncmp(url, "http://", 7) != 0)
        return "must begin with http:// or https://";
    return ask_url_is_loopback(url) ? NULL
                                    : "must begin with https:// unless it is on this machine";
}
