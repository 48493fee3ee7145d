/* provider_webhook.h -- Webhooks as Standard Webhooks 1.0.0 has them: signed, and sent by HTTP.
 *
 * The string that is signed is "{webhook-id}.{webhook-timestamp}.{raw body}", by HMAC-SHA256 under the
 * decoded bytes of each "whsec_..." secret; several secrets make several signatures.
 *
 * Thread    The sender has a thread of its own; webhook_send() from any.
 * Memory    webhook_send() takes the delivery, and `done` gives it back, on the sender's thread.
 * Errors    A status of 0 is no answer at all. Redirects are not followed.
 */
#ifndef SANDBOX_PROVIDER_WEBHOOK_H
#define SANDBOX_PROVIDER_WEBHOOK_H

#include "mesh/base/queue.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SECRETS_MAX = 8,
    SECRET_BYTES_MIN = 16,
    SECRET_BYTES_MAX = 64,
    SIGNATURE_BYTES = 48, /* of one: "v1," and 44 characters of base64, and a space or NUL */
    SIGNATURES_BYTES = SECRETS_MAX * SIGNATURE_BYTES,
};

struct webhook_secrets {
    struct {
        uint8_t key[SECRET_BYTES_MAX];
        size_t bytes;
    } of[SECRETS_MAX];
    size_t count;
};

/* One "whsec_..." a line. False: a line is none, or there is none or too many. */
bool webhook_secrets_read(const char *lines, struct webhook_secrets *ret_secrets);

/* The value of webhook-signature; returns text. */
char *webhook_sign(const struct webhook_secrets *secrets, const char *id, int64_t timestamp_seconds,
                   const char *body, size_t body_bytes, char text[SIGNATURES_BYTES]);

struct delivery {
    struct queue_item item; /* first */
    char payment_id[72], webhook_id[96];
    size_t notice_index;
    char *url, *body; /* the delivery's */
    size_t body_bytes;
    bool is_forged;
    int http_status; /* its answer */
    void *transfer;  /* the sender's */
    void *headers;
};

struct delivery *delivery_free(struct delivery *delivery);

struct webhook_sender;

/* ca_file empty: the CAs of the machine. */
struct webhook_sender *webhook_sender_start(const struct webhook_secrets *secrets,
                                            const char *ca_file,
                                            void (*done)(void *owner, struct delivery *delivery),
                                            void *owner);
void webhook_send(struct webhook_sender *sender, struct delivery *delivery);

/* What has not been answered is broken off and given back with a status of 0. */
struct webhook_sender *webhook_sender_stop(struct webhook_sender *sender);

#endif
