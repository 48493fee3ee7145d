#include "mesh/base/clock_judge.h"

#include <assert.h>
#include <stdlib.h>

/* How far two are apart at least; 0: they may be the same. */
static int64_t
apart(const struct clock_source *a, const struct clock_source *b)
{
    int64_t us = llabs(a->offset_us - b->offset_us) - a->unsure_us - b->unsure_us;

    return us > 0 ? us : 0;
}

static bool
agree(const struct clock_source *a, const struct clock_source *b)
{
    return apart(a, b) <= CLOCK_APART_US;
}

static size_t
votes_of(const struct clock_source *sources, size_t count, const struct clock_source *one)
{
    size_t votes = 0;

    for (size_t i = 0; i < count; i++)
        votes += agree(one, &sources[i]);
    return votes;
}

/* Of several groups of one size: the one that the program goes by; when it begins, that of the database, then
 * a peer's. Its own clock is the last to be believed then: it has not been compared with any. */
static int
rank(const struct clock_source *source, int64_t offset_us, bool is_first)
{
    const struct clock_source current = { .offset_us = offset_us };

    if (!is_first)
        return agree(source, &current) ? 1 : 0;
    return source->kind == CLOCK_DATABASE ? 2 : source->kind == CLOCK_PEER ? 1 : 0;
}

static const struct clock_source *
leader_find(const struct clock_source *sources, size_t count, int64_t offset_us, bool is_first)
{
    const struct clock_source *leader = &sources[0];

    for (size_t i = 1; i < count; i++) {
        size_t votes = votes_of(sources, count, &sources[i]);
        size_t most = votes_of(sources, count, leader);

        if (votes > most || (votes == most && rank(&sources[i], offset_us, is_first) >
                                                  rank(leader, offset_us, is_first)))
            leader = &sources[i];
    }
    return leader;
}

/* Is there no group as large beside it? */
static bool
is_largest(const struct clock_source *sources, size_t count, const struct clock_source *leader)
{
    size_t votes = votes_of(sources, count, leader);

    for (size_t i = 0; i < count; i++) {
        if (!agree(leader, &sources[i]) && votes_of(sources, count, &sources[i]) >= votes)
            return false;
    }
    return votes >= 2;
}

/* In the group of the leader: one's own clock, which needs no asking; else the one known best. */
static const struct clock_source *
reference_of(const struct clock_source *sources, size_t count, const struct clock_source *leader)
{
    const struct clock_source *best = leader;

    if (agree(leader, &sources[0]))
        return &sources[0];
    for (size_t i = 1; i < count; i++) {
        if (agree(leader, &sources[i]) && sources[i].unsure_us < best->unsure_us)
            best = &sources[i];
    }
    return best;
}

/* Not when it is far from the database, if there is one, and from every peer that says what is right. */
static bool
is_fit(const struct clock_source *sources, size_t count)
{
    if (sources[0].off_us <= CLOCK_OFF_US)
        return true;
    for (size_t i = 1; i < count; i++) {
        if (sources[i].kind == CLOCK_DATABASE && apart(&sources[0], &sources[i]) <= CLOCK_OFF_US)
            return true;
    }
    return false;
}

static int64_t
furthest(const struct clock_source *sources, size_t count)
{
    int64_t most_us = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            most_us = apart(&sources[i], &sources[j]) > most_us ? apart(&sources[i], &sources[j])
                                                                : most_us;
    }
    return most_us;
}

void
clock_judge(struct clock_source *sources, size_t count, int64_t offset_us, bool is_first,
            struct clock_verdict *ret_verdict)
{
    const struct clock_source *leader, *reference;

    assert(count > 0 && count <= CLOCK_SOURCES_MAX && sources[0].kind == CLOCK_OWN);
    leader = leader_find(sources, count, offset_us, is_first);
    reference = reference_of(sources, count, leader);
    *ret_verdict = (struct clock_verdict){ .is_sure = is_largest(sources, count, leader),
                                           .offset_us = offset_us,
                                           .is_fit = true };
    for (size_t i = 0; i < count; i++) {
        sources[i].off_us = ret_verdict->is_sure ? apart(&sources[i], reference) : 0;
        sources[i].ahead_us =
            ret_verdict->is_sure ? sources[i].offset_us - reference->offset_us : 0;
    }
    if (ret_verdict->is_sure || is_first)
        ret_verdict->offset_us = reference->offset_us;
    if (ret_verdict->is_sure) {
        ret_verdict->is_own_wrong = sources[0].off_us > CLOCK_APART_US;
        ret_verdict->is_fit = is_fit(sources, count);
    } else {
        ret_verdict->apart_us = furthest(sources, count);
    }
}
