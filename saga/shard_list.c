/* shard_list.c -- List: one shard after the other adds its own sagas, and the last one answers.
 *
 * A shard's sagas are in the order of their places: of those that are open the one that arrived last comes
 * first, of those that have ended the one that ended last. Ids will not do: they are the callers', and may be
 * weeks old. A place is counted by journal pages, so no clock and no restart changes the order, and what
 * happens between two pages of a list moves nothing that is on the second.
 */
#include "saga/forward.h"
#include "saga/shard_inner.h"

#include <string.h>

/* Of all that are added the last to arrive stay, as many as there is room for; the first of them stands first in
 * the heap. So a page of a list costs a look at each open saga, and not their sorting, however many there are. */
struct last {
    struct heap places;
    struct last_item {
        struct heap_item place;
        struct live *live;
    } * items;
    size_t room;
};

static void
last_add(struct last *last, struct live *live)
{
    struct last_item *item = &last->items[last->places.count];

    if (last->places.count == last->room) {
        item = HEAP_OWNER(heap_first(&last->places), struct last_item, place);
        if (live->place <= item->place.key)
            return;
    }
    item->live = live;
    heap_set(&last->places, &item->place, live->place);
}

/* Into found, the last to arrive first; returns how many there are. */
static size_t
last_take(struct last *last, struct live **found)
{
    size_t count = last->places.count;

    for (size_t i = count; i-- > 0;)
        found[i] = HEAP_OWNER(heap_pop(&last->places), struct last_item, place)->live;
    heap_free(&last->places);
    return count;
}

static bool
is_listed(const struct saga_list *list, const struct live *live)
{
    enum phase phase = live->instance == NULL ? live->phase : instance_phase(live->instance);

    if (live->place >= saga_list_before(list))
        return false;
    return list->phase[0] == '\0' || strcmp(phase_text(phase), list->phase) == 0;
}

/* False: the page is full, by number or by bytes, and this one is for the next. */
static bool
list_add(struct saga_list *list, const char *history, int64_t place)
{
    size_t bytes = strlen(history);

    list->has_more = list->count == (size_t)list->page_size ||
                     (list->count > 0 && list->bytes + bytes > LIST_BYTES_MAX);
    if (list->has_more)
        return false;
    list->bytes += bytes;
    list->last_shard = list->shard;
    list->last_place = place;
    list->places[list->count] = place;
    list->histories[list->count++] = history;
    return true;
}

/* Rows of those among the next ones that are parked, in one round. They are read and stay parked. */
static enum error
list_rows(struct shard *shard, struct live *const *found, size_t count, struct arena *arena,
          struct journal_row **ret_rows, size_t *ret_count)
{
    struct uuid *ids = arena_take(arena, count * sizeof *ids);
    struct journal_row *finals;
    size_t id_count = 0, final_count;

    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (found[i]->instance == NULL)
            ids[id_count++] = found[i]->id;
    }
    return id_count == 0 ? ERR_OK
                         : journal_find(shard->journal, ids, id_count, arena, ret_rows, ret_count,
                                        &finals, &final_count);
}

static const char *
parked_history(struct shard *shard, const struct live *live, const struct journal_row *row,
               struct arena *arena)
{
    struct problem problem = { .text = "its row is gone" };
    const char *body = row == NULL || row->body == NULL ? "" : row->body, *history;
    struct instance *instance;

    if (live->unread != NULL)
        return unread_history(live->id, body, unread_code(live), unread_because(live), arena);
    instance = row == NULL ? NULL : shard_row_read(shard, row, &problem);
    history = instance != NULL ? history_text(shard, instance, arena)
                               : unread_history(live->id, body, "UNREADABLE", problem.text, arena);
    instance_free(instance);
    return history;
}

/* Open sagas are known in memory; of the parked ones, only those of this page are read. */
static enum error
list_open(struct shard *shard, struct tick *tick, struct saga_list *list, struct arena *arena)
{
    size_t page = (size_t)list->page_size - list->count + 1, count, row_count;
    struct live **found = arena_take(tick->arena, page * sizeof *found);
    struct last last = { .items = arena_take(tick->arena, page * sizeof *last.items),
                         .room = page };
    struct journal_row *rows = NULL;
    enum error error;

    for (struct live *live = shard->lives; live != NULL; live = live->by_id.next) {
        if (is_listed(list, live))
            last_add(&last, live);
    }
    count = last_take(&last, found);
    error = list_rows(shard, found, count, tick->arena, &rows, &row_count);
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        const struct instance *instance = found[i]->instance;
        const char *history =
            instance != NULL
                ? history_text(shard, instance, arena)
                : parked_history(shard, found[i], journal_row_find(rows, row_count, found[i]->id),
                                 arena);

        if (!list_add(list, history, found[i]->place))
            break;
    }
    return error;
}

static enum error
list_ended(struct shard *shard, struct tick *tick, struct saga_list *list, struct arena *arena)
{
    struct journal_row *rows;
    size_t count = 0;
    enum error error = journal_final_page(shard->journal, saga_list_before(list),
                                          list->page_size + 1, tick->arena, &rows, &count);

    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        if (!list_add(list, history_final(&rows[i], arena), rows[i].place))
            break;
    }
    return error;
}

static void
list_make_room(struct saga_list *list, struct arena *arena)
{
    size_t size = (size_t)list->page_size;

    if (list->histories != NULL)
        return;
    list->histories = arena_take(arena, size * sizeof *list->histories);
    list->places = arena_take(arena, size * sizeof *list->places);
}

/* True: the next shard has the call now. */
static bool
list_goes_on(struct shard *shard, struct call *call)
{
    struct saga_list *list = (struct saga_list *)call->op;

    if (list->has_more || list->is_part || ++list->shard >= shard->shards->count)
        return false;
    shards_submit(shard->shards, call);
    return true;
}

bool
list_take(struct shard *shard, struct tick *tick, struct call *call)
{
    struct saga_list *list = (struct saga_list *)call->op;
    bool is_ended = strcmp(list->phase, phase_text(PHASE_ENDED)) == 0;
    enum error error;

    list_make_room(list, call->arena);
    error = is_ended ? list_ended(shard, tick, list, call->arena)
                     : list_open(shard, tick, list, call->arena);
    if (error != ERR_OK) {
        problem_set(&list->op.problem, error, NULL, "%s", error_text(error));
        return true;
    }
    return !list_goes_on(shard, call);
}

void
list_add_part(struct shard *shard, struct call *call, const struct forward_part *part)
{
    struct saga_list *list = (struct saga_list *)call->op;

    list_make_room(list, call->arena);
    for (size_t i = 0; i < part->count; i++) {
        if (!list_add(list, part->histories[i], part->places[i]))
            break;
    }
    list->has_more = list->has_more || part->has_more;
    if (!list_goes_on(shard, call))
        call->finish(call);
}
