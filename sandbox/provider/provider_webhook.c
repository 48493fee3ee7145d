/* provider_webhook.c -- Signatures, and the thread that sends. */
#include "sandbox/provider/provider_webhook.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/base/text.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENDING_MAX = 64, QUEUE_MAX = 1 << 20, ANSWER_MS = 15000, CONNECT_MS = 5000 };

/* ---- signatures ------------------------------------------------------------------------------ */

static bool
secret_read(const char *text, size_t bytes, struct webhook_secrets *secrets)
{
    static const char prefix[] = "whsec_";
    const size_t prefix_bytes = sizeof prefix - 1;
    uint8_t key[SECRET_BYTES_MAX + 3];
    size_t count;

    if (bytes <= prefix_bytes || memcmp(text, prefix, prefix_bytes) != 0)
        return false;
    text += prefix_bytes;
    bytes -= prefix_bytes;
    if (bytes % 4 != 0 || bytes / 4 * 3 > sizeof key || secrets->count == SECRETS_MAX ||
        !text_read_base64(text, bytes, key, &count) || count < SECRET_BYTES_MIN ||
        count > SECRET_BYTES_MAX)
        return false;
    memcpy(secrets->of[secrets->count].key, key, count);
    secrets->of[secrets->count++].bytes = count;
    return true;
}

bool
webhook_secrets_read(const char *lines, struct webhook_secrets *ret_secrets)
{
    struct webhook_secrets secrets = { 0 };

    while (*(lines += strspn(lines, " \t\r\n")) != '\0') {
        size_t bytes = strcspn(lines, " \t\r\n");

        if (!secret_read(lines, bytes, &secrets))
            return false;
        lines += bytes;
    }
    if (secrets.count == 0)
        return false;
    *ret_secrets = secrets;
    return true;
}

char *
webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t timestamp_seconds,
             const char *body, size_t body_bytes, char text[SIGNATURES_BYTES])
{
    size_t bytes = strlen(id) + 32 + body_bytes, head_bytes, written = 0;
    char *content = memory_take(bytes);

    head_bytes = (size_t)snprintf(content, bytes, "%s.%" PRId64 ".", id, timestamp_seconds);
    memcpy(content + head_bytes, body, body_bytes);
    for (size_t i = 0; i < secrets->count; i++) {
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned digest_bytes = 0;
        char base64[TEXT_BASE64_BYTES(EVP_MAX_MD_SIZE) + 1];

        if (HMAC(EVP_sha256(), secrets->of[i].key, (int)secrets->of[i].bytes,
                 (const uint8_t *)content, head_bytes + body_bytes, digest, &digest_bytes) == NULL)
            abort();
        written +=
            (size_t)snprintf(text + written, SIGNATURES_BYTES - written, "%sv1,%s",
                             i == 0 ? "" : " ", text_print_base64(digest, digest_bytes, base64));
        assert(written < SIGNATURES_BYTES);
    }
    free(content);
    return text;
}

/* ---- the sender ------------------------------------------------------------------------------ */

struct webhook_sender {
    const struct webhook_secrets *secrets;
    const char *ca_file;
    void (*done)(void *owner, struct delivery *delivery);
    void *owner;
    struct queue *queue;
    CURLM *multi;
    struct delivery *sending[SENDING_MAX];
    size_t sending_count;
    atomic_bool must_stop;
    pthread_t thread;
};

struct delivery *
delivery_free(struct delivery *delivery)
{
    if (delivery == NULL)
        return NULL;
    free(delivery->url);
    free(delivery->body);
    free(delivery);
    return NULL;
}

static size_t
answer_ignore(char *bytes, size_t size, size_t count, void *owner)
{
    (void)bytes, (void)owner;
    return size * count;
}

static struct curl_slist *
header_add(struct curl_slist *headers, const char *name, const char *value)
{
    char line[SIGNATURES_BYTES + 128];

    snprintf(line, sizeof line, "%s: %s", name, value);
    headers = curl_slist_append(headers, line);
    assert(headers != NULL);
    return headers;
}

/* The timestamp is the attempt's, so each attempt is signed anew. */
static struct curl_slist *
headers_make(const struct webhook_sender *sender, const struct delivery *delivery)
{
    int64_t now_seconds = clock_now_us() / SECOND_US;
    char signatures[SIGNATURES_BYTES], timestamp[32];
    struct curl_slist *headers = NULL;

    /* A forged one has the signatures of something else. */
    webhook_sign(sender->secrets, delivery->webhook_id, now_seconds, delivery->body,
                 delivery->body_bytes - (delivery->is_forged ? 1 : 0), signatures);
    snprintf(timestamp, sizeof timestamp, "%" PRId64, now_seconds);
    headers = header_add(headers, "Content-Type", "application/json");
    headers = header_add(headers, "webhook-id", delivery->webhook_id);
    headers = header_add(headers, "webhook-timestamp", timestamp);
    headers = header_add(headers, "webhook-signature", signatures);
    return header_add(headers, "Expect", "");
}

static void
delivery_begin(struct webhook_sender *sender, struct delivery *delivery)
{
    CURL *transfer = curl_easy_init();

    assert(transfer != NULL && sender->sending_count < SENDING_MAX);
    delivery->transfer = transfer;
    delivery->headers = headers_make(sender, delivery);
    curl_easy_setopt(transfer, CURLOPT_URL, delivery->url);
    curl_easy_setopt(transfer, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(transfer, CURLOPT_PROXY, ""); /* not the environment's */
    /* A private CA of a mesh on this machine; it is asked for, as a provider asks. */
    if (sender->ca_file[0] != '\0')
        curl_easy_setopt(transfer, CURLOPT_CAINFO, sender->ca_file);
    curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(transfer, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
    curl_easy_setopt(transfer, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(transfer, CURLOPT_HTTPHEADER, delivery->headers);
    curl_easy_setopt(transfer, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)delivery->body_bytes);
    curl_easy_setopt(transfer, CURLOPT_POSTFIELDS, delivery->body);
    curl_easy_setopt(transfer, CURLOPT_USERAGENT, "sagamesh-sandbox-provider");
    curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, answer_ignore);
    curl_easy_setopt(transfer, CURLOPT_PRIVATE, delivery);
    if (curl_multi_add_handle(sender->multi, transfer) != CURLM_OK)
        abort();
    sender->sending[sender->sending_count++] = delivery;
}

static void
delivery_end(struct webhook_sender *sender, struct delivery *delivery, CURLcode result)
{
    long status = 0;
    size_t i = 0;

    if (result == CURLE_OK)
        curl_easy_getinfo(delivery->transfer, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        log_info("payment=%s webhook=%s status=%ld because=\"%s\"", delivery->payment_id,
                 delivery->webhook_id, status,
                 result == CURLE_OK ? "the merchant did not take it" : curl_easy_strerror(result));
    curl_multi_remove_handle(sender->multi, delivery->transfer);
    curl_easy_cleanup(delivery->transfer);
    curl_slist_free_all(delivery->headers);
    while (sender->sending[i] != delivery)
        i++;
    sender->sending[i] = sender->sending[--sender->sending_count];
    delivery->http_status = (int)status;
    sender->done(sender->owner, delivery);
}

static void
sender_turn(struct webhook_sender *sender)
{
    int running, left;
    CURLMsg *message;

    while (sender->sending_count < SENDING_MAX) {
        size_t count;
        struct queue_item *item = queue_take(sender->queue, 1, 0, &count);

        if (item == NULL)
            break;
        delivery_begin(sender, (struct delivery *)item);
    }
    curl_multi_perform(sender->multi, &running);
    while ((message = curl_multi_info_read(sender->multi, &left)) != NULL) {
        struct delivery *delivery;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &delivery);
        delivery_end(sender, delivery, message->data.result);
    }
}

static void *
sender_run(void *owner)
{
    struct webhook_sender *sender = owner;

    while (!atomic_load(&sender->must_stop)) {
        sender_turn(sender);
        if (sender->sending_count == SENDING_MAX || queue_count(sender->queue) == 0)
            curl_multi_poll(sender->multi, NULL, 0, 1000, NULL);
    }
    while (sender->sending_count > 0)
        delivery_end(sender, sender->sending[0], CURLE_ABORTED_BY_CALLBACK);
    return NULL;
}

struct webhook_sender *
webhook_sender_start(const struct webhook_secrets *secrets, const char *ca_file,
                     void (*done)(void *owner, struct delivery *delivery), void *owner)
{
    struct webhook_sender *sender = memory_take(sizeof *sender);

    sender->secrets = secrets;
    sender->ca_file = ca_file;
    sender->done = done;
    sender->owner = owner;
    sender->queue = queue_new(QUEUE_MAX);
    sender->multi = curl_multi_init();
    assert(sender->multi != NULL);
    thread_start(&sender->thread, sender_run, sender);
    return sender;
}

void
webhook_send(struct webhook_sender *sender, struct delivery *delivery)
{
    delivery->http_status = 0;
    if (!queue_push(sender->queue, &delivery->item)) {
        sender->done(sender->owner, delivery);
        return;
    }
    curl_multi_wakeup(sender->multi);
}

struct webhook_sender *
webhook_sender_stop(struct webhook_sender *sender)
{
    struct queue_item *item;
    size_t count;

    if (sender == NULL)
        return NULL;
    atomic_store(&sender->must_stop, true);
    curl_multi_wakeup(sender->multi);
    pthread_join(sender->thread, NULL);
    while ((item = queue_take(sender->queue, 1, 0, &count)) != NULL)
        sender->done(sender->owner, (struct delivery *)item);
    curl_multi_cleanup(sender->multi);
    queue_free(sender->queue);
    free(sender);
    return NULL;
}
