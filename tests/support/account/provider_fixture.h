/* provider_fixture.h -- The provider thread against a small provider of the tests' own, over real sockets
 * and a real database. The provider keeps one payment at a time; several can be created.
 */
#ifndef TESTS_SUPPORT_ACCOUNT_PROVIDER_FIXTURE_H
#define TESTS_SUPPORT_ACCOUNT_PROVIDER_FIXTURE_H

#include "account-svc/provider/provider_thread.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <netinet/in.h>
#include <pthread.h>

/* ---- a provider with one payment at a time ---- */

enum { HITS_MAX = 1000 };

/* An answer that says nothing of what was done. status 0: the connection is closed. */
struct broken {
    const char *what;
    int status;
    const char *body;
};

struct world {
    pthread_mutex_t lock;
    pthread_t thread;
    int listener;
    int port;
    bool is_there;
    const char *status;
    int creates, queries, cancels, refunds; /* that were done */
    int followed;                           /* redirects */
    int lost;                               /* answers that will be lost, after the work is done */
    bool is_away, loses_refund, redirects;
    const struct broken *cancel;      /* how cancels are answered, and not done; NULL: well */
    int64_t office_minor, ours_minor; /* refunds */
    int64_t office_on_refund_minor;   /* made by hand, just before ours */
    const char *junk;                 /* members more, in its books */
    /* In place of do_request(): a provider that speaks another way. */
    int (*request)(const char *head, char *body, size_t size);
    const char *head;          /* a header more, with each 302 and 503 */
    int64_t hits_us[HITS_MAX]; /* when each request came, and what it was: */
    char hits_kind[HITS_MAX];  /* 'c' a create, 'g' a query, 'p' another */
    int hits;
};

extern struct world world;

void world_set(const char *status);

/* ---- the program's part: a store thread, and ops of its own ---- */

extern int lost_learns; /* that the store will not take; of the provider thread's */

extern const char *second_url; /* of another provider, "second"; NULL: there is none */

extern const struct provider_adapter *adapter;

void set_up(void);

/* A provider that takes few. */
void set_up_slow(void);

void tear_down(void);
const struct method *method_find(const char *name);

/* Submits it, waits for its answer, and wakes the thread as the program does after a COMMIT. */
void run(struct test_call *test);

struct uuid create_at(const char *provider);
struct uuid create(void);

/* "Abandon", or what its saga does when it is undone: "Refund". */
void undo(struct uuid id, const char *method);

void abandon(struct uuid id);
void come_back(struct uuid id);

/* Until the payment's row fits, for 20 s at most. */
void wait_for(struct uuid id, const char *condition);

/* Until that many payments fit, for 40 s at most. */
void wait_for_all(int count, const char *condition);

/* The assertion comes after the unlock: one that fails jumps away. */
int wait_for_hits(int count);

/* Until so many of this kind came: how many did of all. */
int wait_for_hits_of(char kind, int count);

/* From the one of its kind before it to this request. */
int64_t gap_in_kind(int hit);

/* From the one before it to this request. */
int64_t gap_before(int hit);

void wait_for_cancels(int count);

#define EXPECT(what, count)                                                                        \
    do {                                                                                           \
        int is;                                                                                    \
                                                                                                   \
        pthread_mutex_lock(&world.lock);                                                           \
        is = (int)world.what;                                                                      \
        pthread_mutex_unlock(&world.lock);                                                         \
        ck_assert_msg(is == (count), #what ": %d, not %d", is, (count));                           \
    } while (0)

#endif
