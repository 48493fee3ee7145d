/* provider_desk.h -- The one thread that has the books: it takes what waits, does it, writes the
 * journal once, and only then answers and sends webhooks. Never waits for company.
 *
 * Thread    desk_take(): any. What a call does runs on the desk's thread.
 * Memory    desk_take() takes the exchange. A call lives in its exchange's arena.
 */
#ifndef SANDBOX_PROVIDER_DESK_H
#define SANDBOX_PROVIDER_DESK_H

#include "mesh/base/json.h"
#include "mesh/base/queue.h"
#include "mesh/http/server.h"
#include "sandbox/provider/provider_books.h"
#include "sandbox/provider/provider_journal.h"
#include "sandbox/provider/provider_webhook.h"

#include <pthread.h>

struct desk {
    struct books *books;
    struct journal *journal;
    struct metrics *metrics; /* NULL: nothing is counted */
    char base_url[128];

    /* The desk's own. */
    struct webhook_sender *sender;
    const char *webhook_ca_file; /* empty: the machine's CAs */
    struct queue *calls, *delivered;
    struct heap timers; /* of payments */
    struct call *answers, *delayed;
    struct delivery *outbox;
    bool has_new_faults; /* those of "*" */
    struct metric_series *payments, *taken, *refused;
    pthread_t thread;
};

/* A request, and its answer once it is done. */
struct call {
    struct queue_item item; /* first */
    struct http_exchange *exchange;
    void (*act)(struct desk *desk, struct call *call);
    int64_t now_us;
    bool is_api; /* the faults of API calls strike it */

    int status;
    const char *content_type, *location; /* location: NULL or where to go */
    struct json_writer body;
    int64_t answer_us; /* not before */
    bool is_lost;      /* then the connection is closed instead */
    struct call *next;
};

/* Books and journal are set: from here on calls are taken, and wait. */
void desk_open(struct desk *desk);

/* base_url is set too: the thread starts. */
void desk_start(struct desk *desk, const struct webhook_secrets *secrets);

void desk_take(struct desk *desk, struct http_exchange *exchange, bool is_api,
               void (*act)(struct desk *desk, struct call *call));

/* After the server was closed. What waits is still done. */
void desk_close(struct desk *desk);

/* For acts. */
void call_payment(struct desk *desk, struct call *call, int status, const struct payment *payment);
void call_refuse(struct desk *desk, struct call *call, const struct problem *problem,
                 const struct payment *payment); /* payment: NULL or how it stands */

/* The faults of an API call. False: it was answered with 500 and must not be done. */
bool call_may_act(struct desk *desk, struct call *call, struct payment *payment);

#endif
