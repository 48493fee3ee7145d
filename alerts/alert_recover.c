/* alert_recover.c -- A shard as its last page left it. First the parked rows, without what is in them; then the pages
 * from the floor on, line by line (alert_page.c). The row of an order is read where a line tells more than it. */
#include "alerts/alert_shard_inner.h"
#include "mesh/base/clock.h"
#include "mesh/base/crash.h"
#include "mesh/base/log.h"

#include <string.h>

enum { PAGES_AT_ONCE = 64 };

/* A line of a page, and whose it is. */
struct line {
    int64_t page;
    const char *text; /* behind "N " */
    size_t bytes;
    char kind;
};

static enum error
read_index(struct alert_shard *shard, struct arena *arena)
{
    struct journal_row *rows;
    size_t count;
    enum error error = journal_parked_index(shard->journal, arena, &rows, &count);

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        struct alert_live *live = alert_live_add(shard, rows[i].id);

        live->parked_page = rows[i].page;
        if (rows[i].next_us != 0)
            heap_set(&shard->timers, &live->timer, rows[i].next_us);
    }
    return error;
}

/* The next line of the body; false: there is none. */
static bool
next_line(const char **body, int64_t page, struct line *line)
{
    const char *end = strchr(*body, '\n');

    if (end == NULL || end - *body < 2)
        return false;
    *line = (struct line){ page, *body + 2, (size_t)(end - *body) - 2, **body };
    *body = end + 1;
    return true;
}

static void
say_damaged(const struct alert_shard *shard, const struct line *line)
{
    log_error("shard=%d page=%lld kind=%c event=UNREAD because=\"a line of the journal cannot be "
              "read: it is passed over\"",
              shard->number, (long long)line->page, line->kind);
}

/* Rows of the orders that these pages tell more of, and that are not in memory. */
static enum error
wake_parked(struct alert_shard *shard, const struct journal_page *pages, size_t count,
            struct arena *arena)
{
    struct alert_rows ids = { 0 };
    struct journal_row *parked, *finals;
    size_t parked_count, final_count;
    struct uuid *keys;
    struct line line;
    struct news news;
    enum error error;

    for (size_t i = 0; i < count; i++) {
        const char *body = pages[i].body;

        while (next_line(&body, pages[i].page, &line)) {
            struct alert_live *live;

            if (line.kind != 'N' || !news_parse(line.text, line.bytes, &news))
                continue;
            live = alert_live_find(shard, news.order_id);
            if (live == NULL || live->watch != NULL || live->is_wanted ||
                live->parked_page >= line.page)
                continue;
            live->is_wanted = true;
            alert_rows_add(&ids, arena, live);
        }
    }
    if (ids.count == 0)
        return ERR_OK;
    keys = arena_take(arena, ids.count * sizeof *keys);
    for (size_t i = 0; i < ids.count; i++)
        keys[i] = ((const struct alert_live *)ids.items[i])->id;
    error = journal_find(shard->journal, keys, ids.count, arena, &parked, &parked_count, &finals,
                         &final_count);
    for (size_t i = 0; error == ERR_OK && i < parked_count; i++) {
        struct alert_live *live = alert_live_find(shard, parked[i].id);
        struct watch *watch =
            parked[i].body == NULL ? NULL : watch_parse(parked[i].body, strlen(parked[i].body));

        live->is_wanted = false;
        live->is_unread = watch == NULL;
        if (watch != NULL)
            alert_live_wake(shard, live, watch);
    }
    return error;
}

static void
fold_news(struct alert_shard *shard, const struct line *line)
{
    struct alert_live *live;
    struct news news;

    if (!news_parse(line->text, line->bytes, &news)) {
        say_damaged(shard, line);
        return;
    }
    live = alert_live_find(shard, news.order_id);
    if (live == NULL)
        live = alert_live_add(shard, news.order_id);
    if (live->parked_page >= line->page || live->is_unread)
        return;
    if (live->watch == NULL)
        alert_live_wake(shard, live, watch_new(live->id));
    watch_apply(live->watch, &news);
    alert_live_need(shard, live, line->page);
}

static void
fold_watch(struct alert_shard *shard, const struct line *line)
{
    struct watch *watch = watch_parse(line->text, line->bytes);
    struct alert_live *live;

    if (watch == NULL) {
        say_damaged(shard, line);
        return;
    }
    live = alert_live_find(shard, watch->order_id);
    if (live == NULL)
        live = alert_live_add(shard, watch->order_id);
    if (live->parked_page >= line->page) {
        watch_free(watch);
        return;
    }
    live->is_unread = false;
    if (live->watch == NULL) {
        alert_live_wake(shard, live, watch);
    } else {
        watch_free(live->watch);
        live->watch = watch;
    }
    alert_live_need(shard, live, line->page);
}

static void
fold_end(struct alert_shard *shard, const struct line *line)
{
    struct alert_live *live;
    struct uuid id;

    if (line->bytes != UUID_TEXT_BYTES || !uuid_parse(line->text, line->bytes, &id)) {
        say_damaged(shard, line);
        return;
    }
    live = alert_live_find(shard, id);
    if (live != NULL && live->parked_page < line->page)
        alert_live_remove(shard, live);
}

static void
fold(struct alert_shard *shard, const struct journal_page *page)
{
    const char *body = page->body;
    struct line line;

    while (next_line(&body, page->page, &line)) {
        switch (line.kind) {
        case 'N':
            fold_news(shard, &line);
            break;
        case 'W':
            fold_watch(shard, &line);
            break;
        case 'E':
            fold_end(shard, &line);
            break;
        default:
            if (line.kind != 'O' || !alert_page_read_offsets(shard, line.text, line.bytes))
                say_damaged(shard, &line);
        }
    }
}

static enum error
read_pages(struct alert_shard *shard, struct arena *arena)
{
    int64_t from = shard->floor_page;
    struct journal_page *pages;
    size_t count;
    enum error error;

    do {
        error = journal_pages(shard->journal, from, PAGES_AT_ONCE, arena, &pages, &count);
        if (error == ERR_OK)
            error = wake_parked(shard, pages, count, arena);
        for (size_t i = 0; error == ERR_OK && i < count; i++) {
            fold(shard, &pages[i]);
            from = pages[i].page + 1;
        }
        arena_reset(arena);
    } while (error == ERR_OK && count == PAGES_AT_ONCE);
    return error;
}

/* Offsets of a cluster that is gone say nothing of the records of another one. */
static void
check_cluster(struct alert_shard *shard)
{
    const char *cluster = shard->all->cluster;

    if (cluster[0] == '\0' || strcmp(shard->read_cluster, "-") == 0 ||
        strcmp(shard->read_cluster, cluster) == 0)
        return;
    log_error("shard=%d event=CLUSTER_CHANGED was=%s is=%s because=\"its offsets are of another "
              "Kafka: reading begins with the earliest records\"",
              shard->number, shard->read_cluster, cluster);
    for (size_t i = 0; i < ALERT_TOPICS; i++) {
        shard->places[i].offset = KAFKA_EARLIEST;
        metric_add(shard->all->meters.resets[i], 1);
    }
}

/* What was in memory is timed, and may park. */
static void
time_all(struct alert_shard *shard)
{
    struct alert_live *live, *next;
    int64_t steady_us = clock_steady_us();

    HASH_ITER (by_id, shard->lives, live, next) {
        if (live->watch == NULL)
            continue;
        alert_live_time(shard, live, 0);
        live->touched_us = steady_us;
    }
}

enum error
alert_recover(struct alert_shard *shard)
{
    struct arena *arena = arena_new();
    struct journal_owned owned;
    enum error error = journal_shard_make(shard->journal);

    strcpy(shard->read_cluster, "-");
    if (error == ERR_OK)
        error = journal_own(shard->journal, &owned);
    if (error == ERR_OK) {
        shard->floor_page = owned.floor_page;
        shard->next_page = owned.next_page;
        error = read_index(shard, arena);
    }
    arena_reset(arena);
    crash_point("alerts.recover");
    if (error == ERR_OK)
        error = read_pages(shard, arena);
    arena_free(arena);
    if (error != ERR_OK) {
        alert_live_free_all(shard);
        return error;
    }
    check_cluster(shard);
    time_all(shard);
    log_info("shard=%d event=OWNED page=%lld orders=%u in_memory=%zu", shard->number,
             (long long)shard->next_page, HASH_CNT(by_id, shard->lives), shard->awake_count);
    return ERR_OK;
}
