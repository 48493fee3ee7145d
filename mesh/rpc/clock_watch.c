#include "mesh/rpc/clock_watch.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/base/queue.h"
#include "mesh/rpc/post.h"

#include <sagamesh/clock/v1/clock_service.pb-c.h>

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_US SECOND_US
#define ASK_US SECOND_US              /* how long an answer is waited for */
#define JUMP_US (SECOND_US / 2)       /* of the own wall clock, from one turn to the next */
#define GRAIN_US (20 * INT64_C(1000)) /* a correction that is not worth it */
#define SAY_OFF_AGAIN_US (60 * SECOND_US)
#define SAY_APART_AGAIN_US (600 * SECOND_US)

enum { OWN, DATABASE, PEERS }; /* sources by number; the peers' from PEERS on */
enum { ADDRESS_BYTES_MAX = 128 };

/* How far off a clock is, for the log. */
enum grade { GRADE_RIGHT, GRADE_APART, GRADE_OFF };

struct saying {
    enum grade grade;
    int64_t again_us;
};

/* What a clock said last. */
struct sample {
    int64_t at_us; /* steady; 0: nothing yet, or it was forgotten */
    int64_t offset_us, unsure_us;
    int64_t off_us, ahead_us; /* as it was judged last */
    bool is_known;
    struct saying saying;
};

struct peer {
    struct clock_watch *watch;
    struct rpc_client *client;
    char address[ADDRESS_BYTES_MAX];
    int64_t asked_us;
    bool is_asked, was_answered; /* under lock */
};

struct clock_watch {
    pthread_t thread;
    struct queue *queue; /* never filled: closing it ends the thread's wait */
    size_t peer_count;
    struct peer peers[CLOCK_SOURCES_MAX - PEERS];
    atomic_bool is_fit, is_compared;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct sample samples[CLOCK_SOURCES_MAX]; /* under lock, as the next three */
    struct saying doubt;
    bool has_begun, was_compared;          /* ever */
    int64_t own_offset_us, alone_since_us; /* the thread's; 0: it is not alone */
};

/* ---- what clocks say ---- */

static void
sample_take(struct sample *sample, int64_t asked_us, int64_t said_us)
{
    int64_t now_us = clock_steady_us();

    sample->at_us = now_us;
    sample->unsure_us = (now_us - asked_us) / 2;
    sample->offset_us = said_us - (asked_us + sample->unsure_us);
}

void
clock_watch_database(struct clock_watch *watch, int64_t asked_us, int64_t database_us)
{
    pthread_mutex_lock(&watch->lock);
    sample_take(&watch->samples[DATABASE], asked_us, database_us);
    pthread_mutex_unlock(&watch->lock);
}

/* The client's thread. */
static void
peer_answered(void *owner, const void *context, const struct rpc_result *result,
              const ProtobufCMessage *reply)
{
    struct peer *peer = owner;
    struct clock_watch *watch = peer->watch;
    struct sample *sample = &watch->samples[PEERS + (peer - watch->peers)];
    const Sagamesh__Clock__V1__NowResponse *response =
        (const Sagamesh__Clock__V1__NowResponse *)reply;

    (void)context, (void)result;
    pthread_mutex_lock(&watch->lock);
    if (response != NULL && response->wall_us > 0)
        sample_take(sample, peer->asked_us, response->wall_us);
    peer->is_asked = false;
    peer->was_answered = true;
    pthread_cond_broadcast(&watch->answered);
    pthread_mutex_unlock(&watch->lock);
}

static void
ask_peers(struct clock_watch *watch)
{
    for (size_t i = 0; i < watch->peer_count; i++) {
        struct peer *peer = &watch->peers[i];
        bool is_asked;

        pthread_mutex_lock(&watch->lock);
        is_asked = peer->is_asked;
        peer->is_asked = true;
        pthread_mutex_unlock(&watch->lock);
        if (is_asked)
            continue;
        peer->asked_us = clock_steady_us();
        rpc_post(peer->client,
                 &(struct rpc_post){ .method = "sagamesh.clock.v1.ClockService/Now",
                                     .timeout_us = ASK_US,
                                     .attempts_max = 1,
                                     .must_go_alone = true,
                                     .reply_type = &sagamesh__clock__v1__now_response__descriptor,
                                     .owner = peer,
                                     .done = peer_answered });
    }
}

/* ---- saying so ---- */

static enum grade
grade_of(int64_t off_us)
{
    return off_us > CLOCK_OFF_US ? GRADE_OFF : off_us > CLOCK_APART_US ? GRADE_APART : GRADE_RIGHT;
}

static int64_t
seconds_of(int64_t us)
{
    return (us + (us < 0 ? -SECOND_US : SECOND_US) / 2) / SECOND_US;
}

/* Is there something new to say, or to say again? */
static bool
must_say(struct saying *saying, enum grade grade, int64_t now_us)
{
    bool is_new = grade != saying->grade;

    if (!is_new && (grade == GRADE_RIGHT || now_us < saying->again_us))
        return false;
    saying->grade = grade;
    saying->again_us = now_us + (grade == GRADE_OFF ? SAY_OFF_AGAIN_US : SAY_APART_AGAIN_US);
    return true;
}

static const char *
source_name(const struct clock_watch *watch, size_t number)
{
    static const char *const names[] = { [OWN] = "own", [DATABASE] = "database" };

    return number < PEERS ? names[number] : watch->peers[number - PEERS].address;
}

static void
say_source(struct clock_watch *watch, size_t number, int64_t now_us)
{
    struct sample *sample = &watch->samples[number];
    const char *name = source_name(watch, number);

    if (!must_say(&sample->saying, grade_of(sample->off_us), now_us))
        return;
    if (sample->saying.grade == GRADE_RIGHT)
        log_info("clock=%s event=CLOCK_RIGHT", name);
    else if (sample->saying.grade == GRADE_APART)
        log_warn("clock=%s event=CLOCK_APART off_ms=%" PRId64
                 " because=\"most others agree with each "
                 "other, and not with it\"",
                 name, sample->ahead_us / 1000);
    else if (sample->saying.grade == GRADE_OFF)
        log_error("clock=%s event=CLOCK_OFF off_seconds=%" PRId64
                  " because=\"most others agree with "
                  "each other, and not with it\" next=\"set that machine's clock right%s\"",
                  name, seconds_of(sample->ahead_us),
                  number == OWN ? "; this program goes by the others' meanwhile" : "");
}

/* Some are apart, and no group of them is the largest. */
static void
say_doubt(struct clock_watch *watch, int64_t apart_us, int64_t now_us)
{
    if (!must_say(&watch->doubt, grade_of(apart_us), now_us))
        return;
    if (watch->doubt.grade == GRADE_APART)
        log_warn("clock=unknown event=CLOCK_APART off_ms=%" PRId64
                 " because=\"this program's clock, the "
                 "database's and the peers' differ, and no two agree against the others\"",
                 apart_us / 1000);
    else if (watch->doubt.grade == GRADE_OFF)
        log_error("clock=unknown event=CLOCK_OFF off_seconds=%" PRId64
                  " because=\"this program's clock, "
                  "the database's and the peers' differ, and no two agree against the others\" "
                  "next=\"set the wrong one right; --peers names more clocks to compare with\"",
                  seconds_of(apart_us));
}

/* ---- a turn ---- */

/* Those that were heard of lately; sample_of has their numbers. Under lock. */
static size_t
gather(struct clock_watch *watch, int64_t own_us, int64_t now_us, struct clock_source *sources,
       size_t *sample_of)
{
    size_t count = 1;

    sources[0] = (struct clock_source){ .kind = CLOCK_OWN, .offset_us = own_us };
    sample_of[0] = OWN;
    for (size_t i = DATABASE; i < PEERS + watch->peer_count; i++) {
        const struct sample *sample = &watch->samples[i];

        if (sample->at_us == 0 || now_us - sample->at_us > CLOCK_FRESH_US)
            continue;
        sources[count] = (struct clock_source){ .kind = i == DATABASE ? CLOCK_DATABASE : CLOCK_PEER,
                                                .offset_us = sample->offset_us,
                                                .unsure_us = sample->unsure_us };
        sample_of[count++] = i;
    }
    return count;
}

/* No other clock could be asked for so long: then the own clock is all there is. */
static bool
is_lonely(struct clock_watch *watch, size_t count, int64_t now_us)
{
    if (count > 1)
        watch->alone_since_us = 0;
    else if (watch->alone_since_us == 0)
        watch->alone_since_us = now_us;
    return watch->alone_since_us != 0 && now_us - watch->alone_since_us > CLOCK_LONELY_US;
}

static void
correct(const struct clock_verdict *verdict, bool is_first)
{
    if (llabs(verdict->offset_us - clock_offset_us()) > GRAIN_US)
        clock_correct(verdict->offset_us, is_first);
}

static void
say_all(struct clock_watch *watch, const struct clock_source *sources, const size_t *sample_of,
        size_t count, const struct clock_verdict *verdict, int64_t now_us)
{
    for (size_t i = 0; i < PEERS + watch->peer_count; i++)
        watch->samples[i].is_known = false;
    for (size_t i = 0; i < count; i++) {
        struct sample *sample = &watch->samples[sample_of[i]];

        sample->off_us = sources[i].off_us;
        sample->ahead_us = sources[i].ahead_us;
        sample->is_known = verdict->is_sure;
        if (verdict->is_sure)
            say_source(watch, sample_of[i], now_us);
    }
    say_doubt(watch, verdict->apart_us, now_us);
}

static void
judge(struct clock_watch *watch)
{
    struct clock_source sources[CLOCK_SOURCES_MAX];
    size_t sample_of[CLOCK_SOURCES_MAX], count;
    struct clock_verdict verdict;
    int64_t now_us = clock_steady_us(), own_us = clock_wall_us() - now_us;
    bool is_first, is_left_alone;

    pthread_mutex_lock(&watch->lock);
    count = gather(watch, own_us, now_us, sources, sample_of);
    is_first = !watch->has_begun || (!watch->was_compared && count > 1);
    clock_judge(sources, count, clock_offset_us(), is_first, &verdict);
    is_left_alone = is_lonely(watch, count, now_us);
    if (is_left_alone)
        verdict.offset_us = own_us;
    correct(&verdict, is_first);
    if (count > 1 || is_left_alone)
        atomic_store(&watch->is_compared, count > 1);
    watch->has_begun = true;
    watch->was_compared |= count > 1;
    say_all(watch, sources, sample_of, count, &verdict, now_us);
    pthread_mutex_unlock(&watch->lock);
    if (verdict.is_sure)
        atomic_store(&watch->is_fit, verdict.is_fit);
}

static void
forget_all(struct clock_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    for (size_t i = 0; i < CLOCK_SOURCES_MAX; i++)
        watch->samples[i].at_us = 0;
    atomic_store(&watch->is_compared, false);
    pthread_mutex_unlock(&watch->lock);
}

/* What others said before the own wall clock jumped says nothing about now: it may be that the machine was
 * suspended, and the steady clock with it. */
static bool
has_jumped(struct clock_watch *watch)
{
    int64_t own_us = clock_wall_us() - clock_steady_us(), by_us = own_us - watch->own_offset_us;

    watch->own_offset_us = own_us;
    if (llabs(by_us) < JUMP_US)
        return false;
    log_warn("clock=own event=CLOCK_STEPPED by_ms=%" PRId64
             " next=\"time goes on steadily until others have been asked\"",
             by_us / 1000);
    return true;
}

static void *
watch_main(void *context)
{
    struct clock_watch *watch = context;
    size_t count;

    while (!queue_is_closed(watch->queue)) {
        if (has_jumped(watch))
            forget_all(watch);
        else
            judge(watch);
        ask_peers(watch);
        queue_take(watch->queue, 1, TURN_US, &count);
    }
    return NULL;
}

/* ---- begin and end ---- */

static bool
is_known(const struct clock_watch *watch, const char *address)
{
    for (size_t i = 0; i < watch->peer_count; i++) {
        if (strcmp(watch->peers[i].address, address) == 0)
            return true;
    }
    return false;
}

static enum error
peer_add(struct clock_watch *watch, const char *address)
{
    struct peer *peer = &watch->peers[watch->peer_count];
    struct rpc_client_options options = {
        .target = peer->address,
        .is_mesh = true,
        .is_quiet = true,
        .waiting_max = 4,
        .envelopes_max = 1,
    };
    enum error error;

    if (is_known(watch, address) || watch->peer_count == CLOCK_SOURCES_MAX - PEERS ||
        strlen(address) >= ADDRESS_BYTES_MAX)
        return ERR_OK;
    snprintf(peer->address, sizeof peer->address, "%s", address);
    error = rpc_client_open(&options, &peer->client);
    if (error != ERR_OK)
        return error;
    peer->watch = watch;
    watch->peer_count++;
    return ERR_OK;
}

static enum error
peers_add(struct clock_watch *watch, const char *list)
{
    static const char ours[] = "sagamesh.";
    char *copy = strdup(list), *rest = NULL;
    enum error error = ERR_OK;
    bool is_ours = true;

    for (char *item = strtok_r(copy, ",", &rest); error == ERR_OK && item != NULL;
         item = strtok_r(NULL, ",", &rest)) {
        char *address;

        item += strspn(item, " ");
        address = strchr(item, '=');
        if (address != NULL)
            is_ours = strncmp(item, ours, sizeof ours - 1) == 0;
        if (is_ours) /* without a service: one more replica of the one before */
            error = peer_add(watch, address == NULL ? item : address + 1);
    }
    free(copy);
    return error;
}

enum error
clock_watch_open(const char *const *peers, size_t count, struct clock_watch **ret_watch)
{
    struct clock_watch *watch = memory_take(sizeof *watch);
    pthread_condattr_t attributes;
    enum error error = ERR_OK;

    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->answered, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_init(&watch->is_fit, true);
    watch->queue = queue_new(1);
    clock_follow();
    watch->own_offset_us = clock_wall_us() - clock_steady_us();
    for (size_t i = 0; error == ERR_OK && i < count; i++)
        error = peers_add(watch, peers[i]);
    *ret_watch = watch;
    return error;
}

static bool
all_answered(const struct clock_watch *watch)
{
    for (size_t i = 0; i < watch->peer_count; i++) {
        if (!watch->peers[i].was_answered)
            return false;
    }
    return true;
}

void
clock_watch_begin(struct clock_watch *watch, int64_t wait_us)
{
    int64_t until_us = clock_steady_us() + wait_us;
    const struct timespec until = { .tv_sec = until_us / SECOND_US,
                                    .tv_nsec = until_us % SECOND_US * 1000 };

    ask_peers(watch);
    pthread_mutex_lock(&watch->lock);
    while (!all_answered(watch) && clock_steady_us() < until_us)
        pthread_cond_timedwait(&watch->answered, &watch->lock, &until);
    pthread_mutex_unlock(&watch->lock);
    judge(watch);
    thread_start(&watch->thread, watch_main, watch);
}

struct clock_watch *
clock_watch_close(struct clock_watch *watch)
{
    if (watch == NULL)
        return NULL;
    queue_close(watch->queue);
    if (watch->has_begun)
        pthread_join(watch->thread, NULL);
    for (size_t i = 0; i < watch->peer_count; i++)
        rpc_client_close(watch->peers[i].client);
    queue_free(watch->queue);
    pthread_cond_destroy(&watch->answered);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
    return NULL;
}

bool
clock_watch_is_fit(const struct clock_watch *watch)
{
    return atomic_load(&watch->is_fit);
}

bool
clock_watch_is_compared(const struct clock_watch *watch)
{
    return atomic_load(&watch->is_compared);
}

void
clock_watch_report(struct clock_watch *watch,
                   void (*each)(void *owner, const char *name, int64_t off_us, bool is_known),
                   void *owner)
{
    for (size_t i = 0; i < PEERS + watch->peer_count; i++) {
        struct sample sample;

        pthread_mutex_lock(&watch->lock);
        sample = watch->samples[i];
        pthread_mutex_unlock(&watch->lock);
        if (i == OWN || sample.at_us != 0)
            each(owner, source_name(watch, i), sample.off_us > CLOCK_APART_US ? sample.ahead_us : 0,
                 sample.is_known);
    }
}
