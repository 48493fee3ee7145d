/* alert_shard_inner.h -- What the files of a shard share. Inside these files only. */
#ifndef ALERTS_ALERT_SHARD_INNER_H
#define ALERTS_ALERT_SHARD_INNER_H

#include "alerts/alert_shard.h"
#include "alerts/alert_store.h"
#include "alerts/watch.h"
#include "mesh/base/heap.h"
#include "mesh/base/json.h"
#include "mesh/base/map.h"
#include "mesh/kafka/consumer.h"
#include "mesh/store/event.h"
#include "mesh/store/journal.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    ALERT_TOPICS = 2, /* NEWS_ORDER and NEWS_PAYMENT, which are their indexes */
    ALERT_SOURCES_MAX = 8,
    ALERT_CLUSTER_BYTES_MAX = 64,
    TICK_TIMERS_MAX = 1024, /* taken by one tick */
    TICK_PARK_MAX = 2048,   /* rows of one tick */
    PARK_IDLE_US = 5 * 1000 * 1000,
    OFFSETS_EVERY_US = 3 * 1000 * 1000, /* a page for offsets alone */
    HEARD_EVERY_US = 5 * 1000 * 1000,   /* what is heard of sources, to rows */
    FLOOR_EVERY_US = 1000 * 1000,
};

/* An order that is not over: in memory, or parked as a row (watch is NULL). */
struct alert_live {
    UT_hash_handle by_id;
    struct uuid id;
    struct watch *watch;
    struct heap_item timer; /* when the horizon is past it, it is looked at */
    struct alert_live *touched_before, *touched_after; /* of those in memory, by their last news */
    struct alert_live *paged_before, *paged_after; /* of those that need pages, the oldest first */
    int64_t first_page;                            /* the oldest page that it needs; 0: none */
    int64_t parked_page; /* its row is folded up to here; 0: there is no row */
    int64_t touched_us;  /* steady */
    bool is_touched;     /* in this tick's list */
    bool is_wanted;      /* in this tick's list of those to be found */
    bool is_unread;      /* its row cannot be read: its news is not applied */
    bool is_final;       /* it was over, and nothing new was heard since its final row was read */
};

/* What a shard hears of a source. */
struct alert_heard {
    const char *name;
    int64_t at_us[ALERT_TOPICS]; /* all its news in this topic from before is out; 0: never heard */
    bool is_silent;
};

/* A growing list of rows in a tick's arena. */
struct alert_rows {
    const void **items;
    size_t count, room;
};

struct alert_sample {
    int64_t us;
    enum rule_id rule;
};

struct alert_samples {
    struct alert_sample *items;
    size_t count, room;
};

/* What a tick gathers, and keeps until it is written. */
struct alert_tick {
    struct arena *arena;
    struct news *news;
    size_t news_count, news_room;
    struct alert_rows wanted, touched, due; /* struct alert_live */
    bool has_due;                           /* timers were taken */
    bool is_decided;                        /* the page is made: the shard writes it and no other */
    bool has_heard;                         /* rows of sources are among it */
    bool must_write;
    struct alert_rows raised, resolved, events, notices, letters, sources;
    struct alert_rows parked, finals, unparked; /* of the journal */
    struct alert_samples paid;                  /* from a success to PAID, each */
    struct alert_samples delays; /* of alerts that were raised, from when they could be */
    size_t raised_by[RULE_COUNT], resolved_by[RULE_COUNT], letters_by[ALERT_TOPICS];
    int64_t now_us, horizon_us;
};

struct alert_shard {
    struct alert_shards *all;
    int32_t number;
    struct journal *journal;
    struct kafka_place places[ALERT_TOPICS]; /* offset: the next record to take */
    bool has_place[ALERT_TOPICS];
    struct alert_heard heard[ALERT_SOURCES_MAX];
    struct alert_live *lives; /* a map by id */
    struct alert_live *touched_first, *paged_first;
    struct heap timers;
    size_t awake_count;
    int64_t next_page, floor_page;
    struct alert_tick tick;
    char read_cluster[ALERT_CLUSTER_BYTES_MAX + 1]; /* that its offsets are of; "-": not known */
    char *body;                                     /* of the page */
    size_t body_bytes, body_room;
    struct json_writer payload;
    int64_t assigned_us, record_us; /* steady: when the partition came to us, and its last record */
    int64_t offsets_due_us, heard_due_us, floor_due_us; /* steady */
    int64_t retry_us;                                   /* steady: its page is tried again */
    bool is_resting, is_lost, has_moved;                /* has_moved: offsets that no page has */
};

struct alert_meters {
    struct metric_series *raised[RULE_COUNT], *resolved[RULE_COUNT], *delay[RULE_COUNT];
    struct metric_series *paid, *letters[ALERT_TOPICS], *records[ALERT_TOPICS];
    struct metric_series *foreign, *unread, *resets[ALERT_TOPICS];
    struct metric_series *awake, *parked, *up;
};

struct alert_shards {
    struct alert_shards_options options;
    pthread_t thread;
    atomic_bool is_stopping;
    struct kafka_consumer *consumer;
    struct pg *pg;
    char sources[256]; /* NUL after each */
    const char *source_names[ALERT_SOURCES_MAX];
    size_t source_count;
    char cluster[ALERT_CLUSTER_BYTES_MAX + 1]; /* "": not known */
    struct alert_shard **shards;               /* by partition; NULL: not ours */
    size_t shard_room;
    size_t awake_most; /* orders in memory, since memory was given back */
    int64_t tell_due_us, meters_due_us, forget_due_us, lost_since_us;
    bool is_adrift; /* Kafka has forgotten us, and has not come back yet */
    _Atomic(int64_t)
        deaf_since_us; /* steady: since when we have no part of the group's partitions; 0: we have */
    struct alert_meters meters;
};

/* ---- alert_live.c ---- */

struct alert_live *alert_live_find(const struct alert_shard *shard, struct uuid id);
struct alert_live *alert_live_add(struct alert_shard *shard, struct uuid id);
void alert_live_wake(struct alert_shard *shard, struct alert_live *live, struct watch *watch);
void alert_live_touch(struct alert_shard *shard, struct alert_live *live, int64_t steady_us);
/* A line of it is in this page. */
void alert_live_need(struct alert_shard *shard, struct alert_live *live, int64_t page);
/* It is a row from now on, folded up to this page. */
void alert_live_park(struct alert_shard *shard, struct alert_live *live, int64_t page);
void alert_live_remove(struct alert_shard *shard, struct alert_live *live);
void alert_live_free_all(struct alert_shard *shard);
/* Sets its timer to when something comes of it without news. */
void alert_live_time(struct alert_shard *shard, struct alert_live *live, int64_t horizon_us);

/* ---- alert_heard.c ---- */

/* Of a heartbeat. */
void alert_heard_take(struct alert_shard *shard, const struct news *news, enum news_kind topic,
                      int64_t now_us);
/* Up to when all news of all sources is here; 0: not known. */
int64_t alert_heard_horizon(const struct alert_shard *shard, int64_t now_us);
/* Adds rows of the sources to the tick, when it is time or a source begins or ends to be silent. */
void alert_heard_rows(struct alert_shard *shard, struct alert_tick *tick);
/* Forgets what was heard in partitions that are no more, which nothing is heard of ever again. */
void alert_heard_forget(struct alert_shards *all);
/* One row more in a tick's list. */
void alert_rows_add(struct alert_rows *rows, struct arena *arena, const void *row);

/* ---- alert_page.c ---- */

/* Lines of the page. */
void alert_page_news(struct alert_shard *shard, const struct news *news);
void alert_page_watch(struct alert_shard *shard, const struct watch *watch);
void alert_page_end(struct alert_shard *shard, struct uuid id);
void alert_page_offsets(struct alert_shard *shard);
/* Reads what alert_page_offsets() wrote. False: it is something else. */
bool alert_page_read_offsets(struct alert_shard *shard, const char *text, size_t bytes);

/* Rows of an alert that was raised or resolved. */
void alert_page_alert(struct alert_shard *shard, const struct watch_alert *alert);
void alert_page_letter(struct alert_shard *shard, const struct kafka_message *message,
                       const char *reason);
struct journal_row *alert_page_row(struct alert_shard *shard, const struct watch *watch,
                                   const char *phase, int64_t next_us);

/* Writes the tick as the next page. */
enum error alert_page_write(struct alert_shard *shard);

/* ---- alert_recover.c ---- */

/* Takes the shard over, and folds its rows and pages. After an error nothing is left: again. */
enum error alert_recover(struct alert_shard *shard);

/* ---- alert_tick.c ---- */

void alert_tick_take(struct alert_shard *shard, const struct kafka_message *message);
/* Goes on with the tick until it is written. After an error it is where it was: again. ERR_CONFLICT: another
 * member has the shard. */
enum error alert_tick_run(struct alert_shard *shard);
void alert_tick_free(struct alert_tick *tick);

#endif
