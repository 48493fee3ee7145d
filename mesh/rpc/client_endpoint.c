/* A service at one address has one endpoint, which is always asked: nothing is drawn, hashed or watched. All else begins
 * with the second. */
#include "mesh/rpc/client_endpoint.h"
#include "mesh/base/arena.h"
#include "mesh/base/log.h"
#include "mesh/base/random.h"
#include "mesh/rpc/client_channel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SILENT_MAX = 3 }; /* messages without an answer in time, after which it is asked how it is */

void
endpoints_init(struct endpoints *set, const char *service, grpc_completion_queue *queue)
{
    set->service = service;
    set->queue = queue;
    list_init(&set->stray);
    list_init(&set->unplaced);
    random_bytes(&set->random, sizeof set->random);
}

/* George Marsaglia's xorshift: good enough to draw two. */
static uint32_t
random_next(struct endpoints *set)
{
    uint32_t random = set->random | 1;

    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    return set->random = random;
}

static bool
is_watched(const struct endpoints *set)
{
    return set->count > 1 && !set->is_ending;
}

/* ---- who is left out ---- */

static void
waiting_take(struct endpoints *set, struct endpoint *endpoint)
{
    endpoint_count(set, endpoint, -(int)(endpoint->waiting.count + endpoint->alone.count));
    list_move(&endpoint->waiting, &set->stray);
    list_move(&endpoint->alone, &set->stray);
}

static void
left_out_log(const struct endpoints *set, const struct endpoint *endpoint, bool is_left_out)
{
    if (set->service == NULL)
        return;
    if (is_left_out)
        log_warn(
            "service=%s endpoint=%s event=LEFT_OUT next=\"the others are asked; it is probed\"",
            set->service, endpoint->address);
    else
        log_info("service=%s endpoint=%s event=TAKEN_IN", set->service, endpoint->address);
}

/* After a change of who is well, or of who there is. */
static void
leave_out(struct endpoints *set)
{
    bool was_left_out[RPC_ENDPOINTS_MAX];

    for (size_t i = 0; i < set->count; i++)
        was_left_out[i] = set->candidates[i].is_left_out;
    atomic_store(&set->left_out, rpc_leave_out(set->candidates, set->count));
    for (size_t i = 0; i < set->count; i++) {
        bool is_left_out = set->candidates[i].is_left_out;

        if (is_left_out != was_left_out[i])
            left_out_log(set, set->of[i], is_left_out);
        if (is_left_out)
            waiting_take(set, set->of[i]);
    }
}

static void
well_set(struct endpoints *set, const struct endpoint *endpoint, bool is_well, int64_t now_us)
{
    struct rpc_candidate *candidate = &set->candidates[endpoint->index];

    if (is_well == (candidate->unwell_us == 0))
        return;
    candidate->unwell_us = is_well ? 0 : now_us;
    leave_out(set);
}

/* ---- who there is ---- */

static void
watch_all(struct endpoints *set, int64_t now_us)
{
    for (size_t i = 0; is_watched(set) && i < set->count; i++)
        client_watch_on(&set->of[i]->watch, &set->of[i]->way, set->of[i], now_us);
}

static void
endpoint_add(struct endpoints *set, const char *address, int64_t now_us)
{
    struct endpoint *endpoint = memory_take(sizeof *endpoint);

    assert(set->count < RPC_ENDPOINTS_MAX);
    endpoint->address = strdup(address);
    endpoint->way.channel = client_channel_open(address, set->authority);
    endpoint->way.queue = set->queue;
    endpoint->watch.due_us = INT64_MAX;
    list_init(&endpoint->waiting);
    list_init(&endpoint->alone);
    endpoint->index = set->count++;
    set->of[endpoint->index] = endpoint;
    set->candidates[endpoint->index] =
        (struct rpc_candidate){ .id = rpc_key(address, strlen(address)) };
    watch_all(set, now_us);
}

/* Its place is taken by the last one. */
static void
endpoint_remove(struct endpoints *set, size_t index)
{
    struct endpoint *endpoint = set->of[index];
    size_t last = set->count - 1;

    waiting_take(set, endpoint);
    client_watch_off(&endpoint->watch);
    endpoint->is_gone = true;
    endpoint->next = set->gone;
    set->gone = endpoint;
    set->of[index] = set->of[last];
    set->candidates[index] = set->candidates[last];
    set->of[index]->index = index;
    set->count = last;
}

static bool
is_among(const struct rpc_target *found, const char *address)
{
    for (size_t i = 0; i < found->count; i++) {
        if (strcmp(found->addresses[i], address) == 0)
            return true;
    }
    return false;
}

static bool
is_known(const struct endpoints *set, const char *address)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->of[i]->address, address) == 0)
            return true;
    }
    return false;
}

void
endpoints_change(struct endpoints *set, const struct rpc_target *found, int64_t now_us)
{
    set->is_looked_up = true;
    for (size_t i = set->count; i-- > 0;) {
        if (!is_among(found, set->of[i]->address))
            endpoint_remove(set, i);
    }
    for (size_t i = 0; i < found->count; i++) {
        if (!is_known(set, found->addresses[i]))
            endpoint_add(set, found->addresses[i], now_us);
    }
    atomic_store(&set->known, set->count);
    leave_out(set);
    if (set->count > 0)
        list_move(&set->unplaced, &set->stray);
}

static void
endpoint_free(struct endpoint *endpoint)
{
    grpc_channel_destroy(endpoint->way.channel);
    parcel_way_close(&endpoint->way);
    free(endpoint->address);
    free(endpoint);
}

/* Those that are gone, and have nothing under way any more. */
static void
gone_free(struct endpoints *set)
{
    for (struct endpoint **link = &set->gone; *link != NULL;) {
        struct endpoint *endpoint = *link;

        if (endpoint->parcels > 0 || !client_watch_is_over(&endpoint->watch)) {
            link = &endpoint->next;
            continue;
        }
        *link = endpoint->next;
        endpoint_free(endpoint);
    }
}

/* ---- who is asked ---- */

/* NULL: none is known. */
static struct endpoint *
choose(struct endpoints *set, struct rpc_request *request)
{
    size_t index;

    if (set->count <= 1)
        return set->count == 0 ? NULL : set->of[0];
    index = rpc_choose(set->candidates, set->count, request->key, request->tried, random_next(set));
    if (index == RPC_NOWHERE) {
        request->tried = 0;
        index = rpc_choose(set->candidates, set->count, request->key, 0, random_next(set));
    }
    return set->of[index];
}

void
endpoints_place(struct endpoints *set, struct rpc_request *request)
{
    struct endpoint *endpoint = choose(set, request);

    if (endpoint == NULL) {
        list_push(&set->unplaced, request);
        set->must_look_up = true;
        return;
    }
    endpoint_count(set, endpoint, 1);
    list_push(request->must_go_alone ? &endpoint->alone : &endpoint->waiting, request);
}

bool
endpoints_have_other(const struct endpoints *set, const struct rpc_request *request)
{
    return set->count > 1 &&
           rpc_choose(set->candidates, set->count, 1, request->tried, 0) != RPC_NOWHERE;
}

void
endpoint_count(struct endpoints *set, const struct endpoint *endpoint, int by)
{
    if (!endpoint->is_gone)
        set->candidates[endpoint->index].under_way += (uint32_t)by;
}

/* ---- how they are ---- */

void
endpoint_note(struct endpoints *set, struct endpoint *endpoint, enum endpoint_sign sign,
              int64_t now_us)
{
    if (endpoint->is_gone)
        return;
    set->must_look_up |= sign == SIGN_LOST;
    endpoint->silent = sign == SIGN_SILENT ? endpoint->silent + 1 : 0;
    if (sign != SIGN_SILENT)
        endpoint->is_away = sign == SIGN_LOST;
    if (!is_watched(set))
        return;
    if (sign == SIGN_ANSWERED) {
        client_watch_trust(&endpoint->watch);
    } else if (sign == SIGN_LOST || endpoint->silent >= SILENT_MAX) {
        endpoint->silent = 0;
        client_watch_doubt(&endpoint->watch, now_us);
        well_set(set, endpoint, false, now_us);
    }
}

bool
endpoints_are_away(const struct endpoints *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (!set->of[i]->is_away)
            return false;
    }
    return true;
}

void
endpoints_step(struct endpoints *set, const struct client_tag *tag, int64_t now_us)
{
    struct endpoint *endpoint = tag->owner;
    enum watch_word word = client_watch_step(&endpoint->watch, tag, now_us);

    set->must_look_up |= word == WATCH_LOST;
    if (word != WATCH_NOTHING && !endpoint->is_gone)
        well_set(set, endpoint, word == WATCH_SERVES, now_us);
}

void
endpoints_turn(struct endpoints *set, int64_t now_us)
{
    for (size_t i = 0; is_watched(set) && i < set->count; i++)
        client_watch_turn(&set->of[i]->watch, now_us);
    if (set->gone != NULL)
        gone_free(set);
}

int64_t
endpoints_due_us(const struct endpoints *set)
{
    int64_t due_us = INT64_MAX;

    for (size_t i = 0; is_watched(set) && i < set->count; i++) {
        if (set->of[i]->watch.due_us < due_us)
            due_us = set->of[i]->watch.due_us;
    }
    return due_us;
}

/* ---- the end ---- */

bool
endpoints_end(struct endpoints *set)
{
    bool is_over = true;

    set->is_ending = true;
    for (size_t i = 0; i < set->count; i++) {
        client_watch_off(&set->of[i]->watch);
        is_over = is_over && client_watch_is_over(&set->of[i]->watch);
    }
    for (const struct endpoint *gone = set->gone; gone != NULL; gone = gone->next)
        is_over = is_over && client_watch_is_over(&gone->watch);
    return is_over;
}

void
endpoints_free(struct endpoints *set)
{
    gone_free(set);
    assert(set->gone == NULL);
    for (size_t i = 0; i < set->count; i++)
        endpoint_free(set->of[i]);
}
