/* alerts_driver.c -- A slot for each order: its watch while it is in memory, and what is on disk of it. */
#include "tests/support/alerts/alerts_driver.h"
#include "tests/support/alerts/alerts_feed.h"
#include "tests/support/check.h"

#include "alerts/alert_event.h"
#include "mesh/base/map.h"

#include <stdlib.h>
#include <string.h>

const char *const driver_sources[DRIVER_SOURCE_COUNT] = { "order-svc", "account-svc" };

/* A text that grows. */
struct lines {
    char *text;
    size_t bytes;
};

struct driver_slot {
    UT_hash_handle by_id;
    struct uuid id;
    struct watch *watch; /* NULL: not in memory */
    struct lines kept;   /* committed: the watch's line, and a line for each piece of news since */
    struct lines new_news; /* since the commit */
    bool is_found;         /* since the commit: its line must be written */
    bool is_touched;       /* since the commit: it is among the driver's */
    int64_t due_kept_us;   /* committed; 0: never */
    struct heap_item due;
};

/* As ck_assert_msg(), which writes to a file each time that it is passed. */
#define must(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg(__VA_ARGS__);                                                             \
    } while (0)

static void
lines_add(struct lines *lines, const char *line, size_t bytes)
{
    lines->text = memory_grow(lines->text, lines->bytes + bytes + 1);
    memcpy(lines->text + lines->bytes, line, bytes);
    lines->text[lines->bytes + bytes] = '\n';
    lines->bytes += bytes + 1;
}

static void
lines_free(struct lines *lines)
{
    free(lines->text);
    *lines = (struct lines){ 0 };
}

/* ---- slots ---- */

static struct driver_slot *
slot_take(struct alerts_driver *driver, struct uuid id)
{
    struct driver_slot *slot;

    HASH_FIND(by_id, driver->slots, &id, sizeof id, slot);
    if (slot == NULL) {
        slot = memory_take(sizeof *slot);
        slot->id = id;
        slot->watch = watch_new(id);
        HASH_ADD(by_id, driver->slots, id, sizeof slot->id, slot);
    }
    return slot;
}

static void
slot_free(struct alerts_driver *driver, struct driver_slot *slot)
{
    HASH_DELETE(by_id, driver->slots, slot);
    heap_remove(&driver->due, &slot->due);
    watch_free(slot->watch);
    lines_free(&slot->kept);
    lines_free(&slot->new_news);
    free(slot);
}

static void
slot_touch(struct alerts_driver *driver, struct driver_slot *slot)
{
    if (slot->is_touched)
        return;
    if (driver->touched_count == driver->touched_room) {
        driver->touched_room = driver->touched_room * 2 + 64;
        driver->touched =
            memory_grow(driver->touched, driver->touched_room * sizeof(struct driver_slot *));
    }
    driver->touched[driver->touched_count++] = slot;
    slot->is_touched = true;
}

static void
slot_wait(struct alerts_driver *driver, struct driver_slot *slot, int64_t due_us)
{
    if (due_us == 0)
        heap_remove(&driver->due, &slot->due);
    else
        heap_set(&driver->due, &slot->due, due_us);
}

/* The watch's line, then the news in the order in which it was applied. */
static void
slot_load(struct driver_slot *slot)
{
    const char *line = slot->kept.text, *end = line + slot->kept.bytes;

    for (; line < end; line = strchr(line, '\n') + 1) {
        size_t bytes = strcspn(line, "\n");
        struct news news;

        if (line == slot->kept.text && line[0] == 'w')
            slot->watch = watch_parse(line, bytes);
        else if (slot->watch == NULL)
            slot->watch = watch_new(slot->id);
        must(slot->watch != NULL && uuid_equal(slot->watch->order_id, slot->id), "%.*s", (int)bytes,
             line);
        if (line[0] != 'w') {
            must(news_parse(line, bytes, &news), "%.*s", (int)bytes, line);
            watch_apply(slot->watch, &news);
        }
    }
    must(slot->watch != NULL, "no line");
}

static void
slot_keep_line(struct driver_slot *slot)
{
    char line[WATCH_LINE_BYTES_MAX], again[WATCH_LINE_BYTES_MAX];
    size_t bytes = watch_print(slot->watch, line);
    struct watch *copy = watch_parse(line, bytes);

    must(copy != NULL, "%.*s", (int)bytes, line);
    must(watch_print(copy, again) == bytes && memcmp(line, again, bytes) == 0, "%.*s", (int)bytes,
         line);
    watch_free(copy);
    lines_free(&slot->kept);
    lines_add(&slot->kept, line, bytes);
}

/* ---- alerts ---- */

static void
tell(struct alerts_driver *driver, const struct watch_alert *alert)
{
    struct json_writer writer = { 0 };
    struct driver_told *told;

    if (driver->told_count == driver->told_room) {
        driver->told_room = driver->told_room * 2 + 16;
        driver->told = memory_grow(driver->told, driver->told_room * sizeof *driver->told);
    }
    told = &driver->told[driver->told_count++];
    *told = (struct driver_told){ .alert = *alert, .detected_us = driver->now_us };
    told->alert.trace = NULL;
    alert_event_write(alert, 3, driver->now_us, &writer);
    told->payload = writer.text; /* it is the told's from here on */
}

static int64_t
horizon_us(const struct alerts_driver *driver)
{
    int64_t least_us = driver->now_us;

    for (size_t i = 0; i < DRIVER_SOURCE_COUNT; i++)
        least_us = driver->heard_us[i] < least_us ? driver->heard_us[i] : least_us;
    return least_us;
}

static void
decide(struct alerts_driver *driver, struct driver_slot *slot)
{
    struct watch_found found;
    int64_t due_us;

    while (watch_decide(slot->watch, &driver->graces, horizon_us(driver), &found)) {
        for (size_t i = 0; i < found.alert_count; i++)
            tell(driver, &found.alerts[i]);
        if (found.took_us >= 0) {
            driver->took_us = found.took_us;
            driver->counts.took++;
        }
        driver->counts.late += found.is_late;
        slot->is_found = true;
    }
    due_us = watch_due_us(slot->watch, &driver->graces);
    must(due_us == 0 || due_us >= horizon_us(driver), "it was due, and was not decided");
    slot_wait(driver, slot, due_us);
    slot_touch(driver, slot);
}

static void
decide_due(struct alerts_driver *driver)
{
    struct heap_item *item;

    while ((item = heap_pop_due(&driver->due, horizon_us(driver) - 1)) != NULL) {
        struct driver_slot *slot = HEAP_OWNER(item, struct driver_slot, due);

        if (slot->watch == NULL)
            slot_load(slot);
        decide(driver, slot);
    }
}

/* ---- records ---- */

static void
hear(struct alerts_driver *driver, const struct news *news)
{
    for (size_t i = 0; i < DRIVER_SOURCE_COUNT; i++) {
        if (strlen(driver_sources[i]) == news->source_bytes &&
            memcmp(driver_sources[i], news->source, news->source_bytes) == 0 &&
            news->time_us > driver->heard_us[i])
            driver->heard_us[i] = news->time_us;
    }
    decide_due(driver);
}

static void
apply(struct alerts_driver *driver, const struct news *news)
{
    struct driver_slot *slot = slot_take(driver, news->order_id);
    char line[NEWS_LINE_BYTES_MAX];
    enum watch_applied applied;

    if (slot->watch == NULL)
        slot_load(slot);
    applied = watch_apply(slot->watch, news);
    driver->full += applied == WATCH_FULL;
    driver->old += applied == WATCH_OLD;
    if (applied != WATCH_NEW)
        return;
    lines_add(&slot->new_news, line, news_print(news, line));
    decide(driver, slot);
}

static bool
is_watched(const struct alerts_driver *driver, struct uuid id)
{
    const struct driver_slot *slot;

    HASH_FIND(by_id, driver->slots, &id, sizeof id, slot);
    return slot != NULL;
}

enum news_answer
driver_feed(struct alerts_driver *driver, const struct news_message *message)
{
    struct news_message placed = *message;
    enum news_answer answer;
    struct news news;

    placed.place = driver->place++;
    answer = news_read(&placed, driver->now_us, &news, &driver->problem);
    if (answer == NEWS_READ && news.kind != NEWS_HEARTBEAT && news.is_old &&
        !is_watched(driver, news.order_id))
        answer = NEWS_FOREIGN;
    driver->answers[answer]++;
    if (answer == NEWS_READ && news.kind == NEWS_HEARTBEAT)
        hear(driver, &news);
    else if (answer == NEWS_READ)
        apply(driver, &news);
    return answer;
}

void
driver_beat(struct alerts_driver *driver, int64_t up_to_us)
{
    struct feed_record record;

    for (size_t i = 0; i < DRIVER_SOURCE_COUNT; i++) {
        feed_heartbeat(&record, driver_sources[i], up_to_us);
        ck_assert_int_eq(driver_feed(driver, &record.message), NEWS_READ);
    }
}

void
driver_clock(struct alerts_driver *driver, int64_t now_us)
{
    driver->now_us = now_us;
    decide_due(driver);
}

/* ---- what is on disk ---- */

static void
slot_commit(const struct alerts_driver *driver, struct driver_slot *slot, bool is_parked)
{
    bool is_over = watch_is_over(slot->watch, &driver->graces);

    if (slot->is_found || is_over || is_parked)
        slot_keep_line(slot);
    else if (slot->new_news.bytes > 0)
        lines_add(&slot->kept, slot->new_news.text, slot->new_news.bytes - 1);
    lines_free(&slot->new_news);
    slot->is_found = slot->is_touched = false;
    slot->due_kept_us = heap_has(&slot->due) ? slot->due.key : 0;
    if (is_over || is_parked)
        slot->watch = watch_free(slot->watch);
}

void
driver_commit(struct alerts_driver *driver, bool is_parked)
{
    while (driver->touched_count > 0)
        slot_commit(driver, driver->touched[--driver->touched_count], is_parked);
    driver->told_committed = driver->told_count;
    driver->place_committed = driver->place;
    driver->counts_committed = driver->counts;
}

/* From disk: parked watches are not read before they are due, or news of them comes. */
static void
slot_recover(struct alerts_driver *driver, struct driver_slot *slot)
{
    bool is_parked = slot->watch == NULL || slot->due_kept_us == 0;

    slot->watch = watch_free(slot->watch);
    lines_free(&slot->new_news);
    slot->is_found = slot->is_touched = false;
    slot_wait(driver, slot, slot->due_kept_us);
    if (is_parked)
        return;
    slot_load(slot);
    decide(driver, slot);
}

void
driver_crash(struct alerts_driver *driver)
{
    struct driver_slot *slot, *next;

    while (driver->told_count > driver->told_committed)
        free(driver->told[--driver->told_count].payload);
    driver->place = driver->place_committed;
    driver->counts = driver->counts_committed;
    driver->touched_count = 0;
    memset(driver->heard_us, 0, sizeof driver->heard_us);
    HASH_ITER (by_id, driver->slots, slot, next) {
        if (slot->kept.bytes == 0)
            slot_free(driver, slot);
        else
            slot_recover(driver, slot);
    }
}

size_t
driver_slot_count(const struct alerts_driver *driver)
{
    return HASH_CNT(by_id, driver->slots);
}

size_t
driver_watch_count(const struct alerts_driver *driver)
{
    struct driver_slot *slot, *next;
    size_t count = 0;

    HASH_ITER (by_id, driver->slots, slot, next) {
        count += slot->watch != NULL;
    }
    return count;
}

size_t
driver_line_bytes(const struct alerts_driver *driver)
{
    struct driver_slot *slot, *next;
    size_t bytes = 0;

    HASH_ITER (by_id, driver->slots, slot, next) {
        bytes += slot->kept.bytes;
    }
    return bytes;
}

struct alerts_driver *
driver_new(int64_t now_us)
{
    struct alerts_driver *driver = memory_take(sizeof *driver);

    driver->graces = rule_graces_default();
    driver->now_us = now_us;
    driver->took_us = -1;
    return driver;
}

struct alerts_driver *
driver_free(struct alerts_driver *driver)
{
    struct driver_slot *slot, *next;

    HASH_ITER (by_id, driver->slots, slot, next) {
        slot_free(driver, slot);
    }
    heap_free(&driver->due);
    for (size_t i = 0; i < driver->told_count; i++)
        free(driver->told[i].payload);
    free(driver->told);
    free(driver->touched);
    free(driver);
    return NULL;
}
