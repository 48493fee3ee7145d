/* alert_heard.c -- Heartbeats. Each source of news says in each partition: all my news from before this time is out. The
 * horizon of a shard is the least of what all its sources said, and never later than now; no alert is raised for a time
 * that it has not passed. So news that is late, for an hour or a day, makes alerts late and not wrong; and a source that
 * says nothing is a fault of its own, which people are told of. */
#include "alerts/alert_shard_inner.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"

#include <string.h>

enum { PARTITIONS_MS = 1000 };

void
alert_heard_take(struct alert_shard *shard, const struct news *news, enum news_kind topic,
                 int64_t now_us)
{
    /* A clock that is ahead must not promise for news that is still to come. */
    int64_t at_us = news->time_us < now_us ? news->time_us : now_us;

    for (size_t i = 0; i < shard->all->source_count; i++) {
        struct alert_heard *heard = &shard->heard[i];

        if (strlen(heard->name) == news->source_bytes &&
            memcmp(heard->name, news->source, news->source_bytes) == 0 &&
            at_us > heard->at_us[topic])
            heard->at_us[topic] = at_us;
    }
}

/* Of the topics that the source speaks in, the one that is behind. */
static int64_t
heard_us(const struct alert_heard *heard)
{
    int64_t least_us = 0;

    for (size_t i = 0; i < ALERT_TOPICS; i++) {
        if (heard->at_us[i] != 0 && (least_us == 0 || heard->at_us[i] < least_us))
            least_us = heard->at_us[i];
    }
    return least_us;
}

int64_t
alert_heard_horizon(const struct alert_shard *shard, int64_t now_us)
{
    int64_t horizon_us = now_us;

    for (size_t i = 0; i < shard->all->source_count; i++) {
        int64_t at_us = heard_us(&shard->heard[i]);

        if (at_us < horizon_us)
            horizon_us = at_us;
    }
    return horizon_us;
}

/* All that Kafka has of the shard's topics was taken, as far as Kafka has said. */
static bool
has_caught_up(const struct alert_shard *shard)
{
    for (size_t i = 0; i < ALERT_TOPICS; i++) {
        if (shard->has_place[i] && kafka_consumer_lag(shard->all->consumer, &shard->places[i]) != 0)
            return false;
    }
    return true;
}

/* A member that has just got the partition cannot know it yet; *ret_is_known is then false. A shard that has records to
 * take hears the past, and says nothing of now; but one to which Kafka gives nothing at all does not. */
static bool
is_silent(const struct alert_shard *shard, const struct alert_heard *heard, int64_t now_us,
          bool *ret_is_known)
{
    int64_t silent_us = shard->all->options.silent_us, steady_us = clock_steady_us();
    int64_t at_us = heard_us(heard);
    bool is_deaf = steady_us - shard->record_us > silent_us;

    *ret_is_known = now_us - at_us <= silent_us || is_deaf || has_caught_up(shard);
    if (!*ret_is_known)
        return false;
    if (at_us == 0)
        return steady_us - shard->assigned_us > silent_us;
    return now_us - at_us > silent_us;
}

void
alert_heard_rows(struct alert_shard *shard, struct alert_tick *tick)
{
    bool is_time = clock_steady_us() >= shard->heard_due_us;

    for (size_t i = 0; i < shard->all->source_count; i++) {
        struct alert_heard *heard = &shard->heard[i];
        bool is_known, silent = is_silent(shard, heard, tick->now_us, &is_known);
        struct alert_source_row *row;

        if (!is_known || (!is_time && silent == heard->is_silent))
            continue;
        if (silent != heard->is_silent)
            log_warn("source=%s shard=%d silent=%s", heard->name, shard->number,
                     silent ? "yes" : "no");
        heard->is_silent = silent;
        row = arena_take(tick->arena, sizeof *row);
        *row = (struct alert_source_row){ .source = heard->name,
                                          .shard = shard->number,
                                          .heard_us = heard_us(heard),
                                          .checked_us = tick->now_us,
                                          .is_silent = silent };
        alert_rows_add(&tick->sources, tick->arena, row);
    }
    if (tick->sources.count > 0)
        shard->heard_due_us = clock_steady_us() + HEARD_EVERY_US;
}

/* Of both topics together; -1: Kafka does not say. A topic that is not there is being made, and says nothing yet. */
static int32_t
partitions_most(struct alert_shards *all)
{
    int32_t most = 0, count;

    for (int32_t i = 0; i < ALERT_TOPICS; i++) {
        if (kafka_consumer_partitions(all->consumer, i, PARTITIONS_MS, &count) != ERR_OK)
            return -1;
        if (count > most)
            most = count;
    }
    return most;
}

/* A wrong count does no harm: the shard of a partition that is there writes its row again. */
void
alert_heard_forget(struct alert_shards *all)
{
    const struct alert_source_forget forget = { partitions_most(all) };
    struct arena *arena;
    struct pg_answer answer;

    if (forget.partitions <= 0)
        return;
    arena = arena_new();
    if (pg_ask(all->pg, &alert_source_delete, &forget, arena, &answer) == ERR_OK &&
        answer.changed > 0)
        log_warn("event=PARTITIONS_GONE partitions=%d rows=%zu", forget.partitions, answer.changed);
    arena_free(arena);
}

void
alert_rows_add(struct alert_rows *rows, struct arena *arena, const void *row)
{
    if (rows->count == rows->room) {
        size_t room = rows->room == 0 ? 64 : 2 * rows->room;
        const void **items = arena_take(arena, room * sizeof *items);

        if (rows->count > 0)
            memcpy(items, rows->items, rows->count * sizeof *items);
        rows->items = items;
        rows->room = room;
    }
    rows->items[rows->count++] = row;
}
