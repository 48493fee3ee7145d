/* A look is two reads; what follows from it is in division.c, and each shard that is taken or let go is one UPDATE that
 * names the owner that was seen, so that of two who take one shard one finds that it changed nothing. */
#include "saga/members.h"
#include "mesh/base/clock.h"
#include "mesh/base/die.h"
#include "mesh/base/log.h"
#include "mesh/store/pg.h"
#include "saga/division.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_US (SECOND_US / 4)
#define BEAT_EVERY_US SECOND_US
#define DEAD_US (4 * SECOND_US)
#define GAP_US (2 * SECOND_US) /* between two looks: what stood still meanwhile may have been us */
#define FORGET_US (60 * SECOND_US) /* after that the row of one that is dead is deleted */

/* clang-format off */
static const struct metric_row owned_row = { "sagamesh_saga_shards_owned",       METRIC_GAUGE,   METRIC_NUMBER, "Shards that this orchestrator has.",                                    { NULL } };
static const struct metric_row moved_row = { "sagamesh_saga_shards_moved_total", METRIC_COUNTER, METRIC_NUMBER, "Shards that were taken, given to another, or lost to one that took it.", { "how" } };
/* clang-format on */

struct member_row {
    struct uuid member;
    const char *address;
    int64_t beat;
};
struct lease_row {
    int32_t shard;
    struct uuid member;
};
struct lease_move {
    int32_t shard;
    struct uuid from, to;
};

/* clang-format off */
static const struct pg_column member_columns[] = {
    PG_COLUMN(struct member_row, member, PG_UUID),
    PG_COLUMN(struct member_row, address, PG_TEXT),
    PG_COLUMN(struct member_row, beat, PG_INT8),
    { 0 },
};
static const struct pg_column self_columns[] = {
    PG_COLUMN(struct member_row, member, PG_UUID),
    PG_COLUMN(struct member_row, address, PG_TEXT),
    { 0 },
};
static const struct pg_column gone_columns[] = {
    PG_COLUMN(struct member_row, member, PG_UUID),
    PG_COLUMN(struct member_row, beat, PG_INT8),
    { 0 },
};
static const struct pg_column id_columns[] = { PG_COLUMN(struct member_row, member, PG_UUID), { 0 } };
static const struct pg_column lease_columns[] = {
    PG_COLUMN(struct lease_row, shard, PG_INT4),
    PG_COLUMN(struct lease_row, member, PG_UUID),
    { 0 },
};
static const struct pg_column move_columns[] = {
    PG_COLUMN(struct lease_move, shard, PG_INT4),
    PG_COLUMN(struct lease_move, from, PG_UUID),
    PG_COLUMN(struct lease_move, to, PG_UUID),
    { 0 },
};
/* clang-format on */

static const struct pg_statement member_all = {
    .name = "member_all",
    .sql = "SELECT member, address, beat FROM saga_member ORDER BY member",
    .is_single = true,
    .out = member_columns,
    .out_bytes = sizeof(struct member_row),
};
static const struct pg_statement lease_all = {
    .name = "lease_all",
    .sql = "SELECT shard, member FROM saga_lease ORDER BY shard",
    .is_single = true,
    .out = lease_columns,
    .out_bytes = sizeof(struct lease_row),
};
static const struct pg_statement member_beat = {
    .name = "member_beat",
    .sql = "INSERT INTO saga_member AS m (member, address, beat) VALUES ($1, $2, 1)"
           " ON CONFLICT (member) DO UPDATE SET beat = m.beat + 1",
    .in = self_columns,
    .is_single = true,
};
static const struct pg_statement member_displace = {
    .name = "member_displace",
    .sql = "DELETE FROM saga_member WHERE address = $2 AND member <> $1",
    .in = self_columns,
    .is_single = true,
};
static const struct pg_statement member_bury = {
    .name = "member_bury",
    .sql = "DELETE FROM saga_member WHERE member = $1 AND beat = $2",
    .in = gone_columns,
    .is_single = true,
};
static const struct pg_statement member_leave = {
    .name = "member_leave",
    .sql = "DELETE FROM saga_member WHERE member = $1",
    .in = id_columns,
    .is_single = true,
};
static const struct pg_statement lease_pass = {
    .name = "lease_pass",
    .sql = "UPDATE saga_lease SET member = $3 WHERE shard = $1 AND member = $2",
    .in = move_columns,
    .is_single = true,
};
static const struct pg_statement *const statements[] = {
    &member_all,  &lease_all,    &member_beat, &member_displace,
    &member_bury, &member_leave, &lease_pass,  NULL,
};

/* A member as this one sees it. */
struct seen {
    struct uuid id;
    char address[MEMBERS_ADDRESS_BYTES_MAX];
    int64_t beat, since_us;
};

/* Of a shard; under lock. */
struct place {
    enum members_place place;
    char address[MEMBERS_ADDRESS_BYTES_MAX];
    bool is_let_go;
};

struct members {
    struct members_options options;
    struct uuid self;
    char address[MEMBERS_ADDRESS_BYTES_MAX];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool must_look, is_begun, is_over; /* under lock */
    struct place *places;              /* likewise */
    atomic_bool is_seen;
    /* the thread's */
    struct pg *pg;
    struct arena *arena;
    struct seen *seen;
    size_t seen_count;
    int64_t looked_us, beat_us; /* 0: not yet */
    struct uuid *leases;        /* as they were seen last */
    struct metric_series *owned, *taken, *given, *lost;
};

/* ---- what was seen ---- */

static struct seen *
seen_find(struct seen *seen, size_t count, struct uuid id)
{
    for (size_t i = 0; i < count; i++) {
        if (uuid_equal(seen[i].id, id))
            return &seen[i];
    }
    return NULL;
}

static bool
is_dead(const struct members *members, const struct seen *seen)
{
    return !uuid_equal(seen->id, members->self) && members->looked_us - seen->since_us > DEAD_US;
}

/* A gap proves nothing of the others: each has its time again. */
static void
see_members(struct members *members, const struct member_row *rows, size_t count, int64_t now_us)
{
    bool is_gap = members->looked_us == 0 || now_us - members->looked_us > GAP_US;
    struct seen *seen = memory_take((count + 1) * sizeof *seen);

    for (size_t i = 0; i < count; i++) {
        const struct seen *before = seen_find(members->seen, members->seen_count, rows[i].member);

        seen[i].id = rows[i].member;
        seen[i].beat = rows[i].beat;
        seen[i].since_us =
            before == NULL || before->beat != rows[i].beat || is_gap ? now_us : before->since_us;
        snprintf(seen[i].address, sizeof seen[i].address, "%s", rows[i].address);
    }
    free(members->seen);
    members->seen = seen;
    members->seen_count = count;
    members->looked_us = now_us;
}

static void
bury_dead(struct members *members)
{
    for (size_t i = 0; i < members->seen_count; i++) {
        const struct seen *seen = &members->seen[i];
        const struct member_row row = { .member = seen->id, .beat = seen->beat };

        if (is_dead(members, seen) && members->looked_us - seen->since_us > FORGET_US)
            pg_ask(members->pg, &member_bury, &row, members->arena, NULL);
    }
}

/* ---- a look ---- */

/* *ret_is_passed: the row was as it is said to be, and is changed. */
static enum error
pass_lease(struct members *members, size_t shard, struct uuid from, struct uuid to,
           bool *ret_is_passed)
{
    const struct lease_move move = { .shard = (int32_t)shard, .from = from, .to = to };
    struct pg_answer answer;
    enum error error = pg_ask(members->pg, &lease_pass, &move, members->arena, &answer);

    *ret_is_passed = error == ERR_OK && answer.changed == 1;
    if (*ret_is_passed)
        members->leases[shard] = to;
    return error;
}

static void
pass_let_go(struct members *members)
{
    static const struct uuid nobody;

    for (size_t i = 0; i < members->options.shard_count; i++) {
        bool is_let_go, is_passed;

        pthread_mutex_lock(&members->lock);
        is_let_go = members->places[i].is_let_go;
        pthread_mutex_unlock(&members->lock);
        if (!is_let_go || pass_lease(members, i, members->self, nobody, &is_passed) != ERR_OK)
            continue; /* also when it was another's already, it is let go */
        pthread_mutex_lock(&members->lock);
        members->places[i].is_let_go = false;
        pthread_mutex_unlock(&members->lock);
        metric_add(members->given, is_passed);
    }
}

static enum error
read_rows(struct members *members)
{
    struct pg_answer rows, leases;
    enum error error = pg_ask(members->pg, &member_all, NULL, members->arena, &rows);

    if (error == ERR_OK)
        error = pg_ask(members->pg, &lease_all, NULL, members->arena, &leases);
    if (error != ERR_OK)
        return error;
    see_members(members, rows.rows, rows.count, clock_steady_us());
    for (size_t i = 0; i < leases.count; i++) {
        const struct lease_row *lease = (const struct lease_row *)leases.rows + i;

        if (lease->shard >= 0 && (size_t)lease->shard < members->options.shard_count)
            members->leases[lease->shard] = lease->member;
    }
    return ERR_OK;
}

/* At the first one it takes the place of one that was at its address. */
static enum error
beat(struct members *members)
{
    const struct member_row row = { .member = members->self, .address = members->address };
    int64_t now_us = clock_steady_us();
    enum error error = ERR_OK;

    if (members->beat_us != 0 && now_us - members->beat_us < BEAT_EVERY_US)
        return ERR_OK;
    if (members->beat_us == 0)
        error = pg_ask(members->pg, &member_displace, &row, members->arena, NULL);
    if (error == ERR_OK)
        error = pg_ask(members->pg, &member_beat, &row, members->arena, NULL);
    if (error == ERR_OK)
        members->beat_us = now_us;
    return error;
}

static void
publish(struct members *members, size_t shard, enum members_place place, const char *address)
{
    struct place *at = &members->places[shard];
    bool is_changed;

    pthread_mutex_lock(&members->lock);
    if (at->is_let_go)
        place = MEMBERS_NOBODYS;
    is_changed = at->place != place || strcmp(at->address, address) != 0;
    at->place = place;
    snprintf(at->address, sizeof at->address, "%s", address);
    pthread_mutex_unlock(&members->lock);
    if (is_changed)
        members->options.changed(members->options.owner, shard);
}

static void
take(struct members *members, size_t shard)
{
    char from[UUID_TEXT_BYTES + 1];
    bool is_passed;

    uuid_print(members->leases[shard], from);
    pass_lease(members, shard, members->leases[shard], members->self, &is_passed);
    if (!is_passed)
        return;
    metric_add(members->taken, 1);
    log_info("shard=%zu event=SHARD_TAKEN from=%s", shard, from);
}

static void
divide(struct members *members)
{
    size_t shard_count = members->options.shard_count, live_count = 0, owned = 0, me = 0;
    struct uuid *live = arena_take(members->arena, (members->seen_count + 1) * sizeof *live);
    int *owners = arena_take(members->arena, shard_count * sizeof *owners);
    enum division_move *moves = arena_take(members->arena, shard_count * sizeof *moves);

    for (size_t i = 0; i < members->seen_count; i++) {
        if (uuid_equal(members->seen[i].id, members->self))
            me = live_count;
        if (!is_dead(members, &members->seen[i]))
            live[live_count++] = members->seen[i].id;
    }
    if (seen_find(members->seen, members->seen_count, members->self) == NULL)
        return; /* its row was taken for a dead one's: the next beat makes it anew */
    for (size_t i = 0; i < shard_count; i++) {
        owners[i] = DIVISION_NOBODY;
        for (size_t n = 0; n < live_count; n++) {
            if (uuid_equal(members->leases[i], live[n]))
                owners[i] = (int)n;
        }
    }
    division_decide(live, live_count, owners, shard_count, me, moves);
    for (size_t i = 0; i < shard_count; i++) {
        const struct seen *owner;
        bool is_ours;

        if (moves[i] == DIVISION_TAKE)
            take(members, i);
        is_ours = uuid_equal(members->leases[i], members->self);
        owner = seen_find(members->seen, members->seen_count, members->leases[i]);
        owned += is_ours;
        if (is_ours)
            publish(members, i, moves[i] == DIVISION_GIVE ? MEMBERS_GIVEN : MEMBERS_OURS, "");
        else if (owner != NULL && !is_dead(members, owner))
            publish(members, i, MEMBERS_OTHERS, owner->address);
        else
            publish(members, i, MEMBERS_NOBODYS, "");
    }
    metric_set(members->owned, (int64_t)owned);
}

static void
look(struct members *members)
{
    enum error error = beat(members);

    if (error == ERR_OK) {
        pass_let_go(members);
        error = read_rows(members);
    }
    if (error == ERR_OK) {
        bury_dead(members);
        divide(members);
    }
    atomic_store(&members->is_seen, error == ERR_OK);
    arena_reset(members->arena);
}

/* ---- the thread ---- */

/* False: it is over. */
static bool
wait_for_look(struct members *members)
{
    int64_t until_us = clock_steady_us() + LOOK_EVERY_US;
    bool is_over;

    pthread_mutex_lock(&members->lock);
    while (!members->is_over && !members->must_look &&
           (!members->is_begun || clock_steady_us() < until_us)) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_EVERY_US * 1000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&members->wake, &members->lock, &until);
    }
    members->must_look = false;
    is_over = members->is_over;
    pthread_mutex_unlock(&members->lock);
    return !is_over;
}

static void *
members_main(void *context)
{
    struct members *members = context;

    while (wait_for_look(members))
        look(members);
    return NULL;
}

struct members *
members_open(const struct members_options *options)
{
    struct members *members = memory_take(sizeof *members);
    const char *const taken = "taken", *const given = "given", *const lost = "lost";
    pthread_condattr_t attributes;

    members->options = *options;
    members->self = uuid_v7(clock_now_us());
    members->places = memory_take(options->shard_count * sizeof *members->places);
    members->leases = memory_take(options->shard_count * sizeof *members->leases);
    members->pg = pg_new(options->conninfo, "saga-svc members", statements);
    members->arena = arena_new();
    pg_meter(members->pg, options->metrics, "members");
    members->owned = metrics_series(options->metrics, &owned_row, NULL);
    members->taken = metrics_series(options->metrics, &moved_row, &taken);
    members->given = metrics_series(options->metrics, &moved_row, &given);
    members->lost = metrics_series(options->metrics, &moved_row, &lost);
    pthread_mutex_init(&members->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&members->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    thread_start(&members->thread, members_main, members);
    return members;
}

void
members_begin(struct members *members, const char *address)
{
    log_info("member=yes address=%s shards=%zu", address, members->options.shard_count);
    pthread_mutex_lock(&members->lock);
    snprintf(members->address, sizeof members->address, "%s", address);
    members->is_begun = members->must_look = true;
    pthread_cond_signal(&members->wake);
    pthread_mutex_unlock(&members->lock);
}

/* Else the others would wait until it counts as dead. One try: the database may be away. */
static void
leave(struct members *members)
{
    const struct member_row row = { .member = members->self };

    if (members->beat_us != 0)
        pg_ask(members->pg, &member_leave, &row, members->arena, NULL);
}

struct members *
members_close(struct members *members)
{
    if (members == NULL)
        return NULL;
    pthread_mutex_lock(&members->lock);
    members->is_over = true;
    pthread_cond_signal(&members->wake);
    pthread_mutex_unlock(&members->lock);
    pthread_join(members->thread, NULL);
    leave(members);
    pthread_cond_destroy(&members->wake);
    pthread_mutex_destroy(&members->lock);
    arena_free(members->arena);
    pg_free(members->pg);
    free(members->seen);
    free(members->leases);
    free(members->places);
    free(members);
    return NULL;
}

/* ---- asked by shards ---- */

enum members_place
members_look(struct members *members, size_t shard, char *address)
{
    enum members_place place;

    pthread_mutex_lock(&members->lock);
    place = members->places[shard].place;
    if (address != NULL)
        memcpy(address, members->places[shard].address, MEMBERS_ADDRESS_BYTES_MAX);
    pthread_mutex_unlock(&members->lock);
    return place;
}

bool
members_are_seen(struct members *members)
{
    return atomic_load(&members->is_seen);
}

void
members_let_go(struct members *members, size_t shard)
{
    pthread_mutex_lock(&members->lock);
    members->places[shard].is_let_go = true;
    members->places[shard].place = MEMBERS_NOBODYS;
    members->must_look = true;
    pthread_cond_signal(&members->wake);
    pthread_mutex_unlock(&members->lock);
}

bool
members_have(struct members *members, size_t shard)
{
    return members_look(members, shard, NULL) == MEMBERS_OURS;
}

void
members_lost(struct members *members, size_t shard)
{
    metric_add(members->lost, 1);
    pthread_mutex_lock(&members->lock);
    members->places[shard].place = MEMBERS_NOBODYS; /* until it was looked */
    members->must_look = true;
    pthread_cond_signal(&members->wake);
    pthread_mutex_unlock(&members->lock);
}
