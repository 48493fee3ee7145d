#include "mesh/store/batch_aside.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"

#include <stdlib.h>

/* Calls in the order in which they are tried, linked by their items. */
struct line {
    struct queue_item *first, **end;
    size_t count;
    int64_t due_us;
};

struct aside {
    struct line together, apart;
};

struct aside *
aside_new(void)
{
    struct aside *aside = memory_take(sizeof *aside);

    aside->together.end = &aside->together.first;
    aside->apart.end = &aside->apart.first;
    return aside;
}

struct aside *
aside_free(struct aside *aside)
{
    free(aside);
    return NULL;
}

static void
refuse(struct call *call)
{
    problem_set(&call->op->problem, ERR_BUSY, NULL,
                "another transaction keeps a row of it locked; nothing was done");
    call->finish(call);
}

static void
line_push(struct line *line, struct call *call)
{
    call->item.next = NULL;
    *line->end = &call->item;
    line->end = &call->item.next;
    line->count++;
}

static struct call *
line_pop(struct line *line)
{
    struct queue_item *item = line->first;

    line->first = item->next;
    if (line->first == NULL)
        line->end = &line->first;
    line->count--;
    return (struct call *)item;
}

/* Goes once around the line: those whose time is over are refused, the others keep their order. */
static void
line_refuse_late(struct line *line, int64_t now_us)
{
    for (size_t left = line->count; left > 0; left--) {
        struct call *call = line_pop(line);

        if (call->aside_until_us <= now_us)
            refuse(call);
        else
            line_push(line, call);
    }
}

static int64_t
until_us(const struct call *call, int64_t now_us)
{
    int64_t in_time_us = call->deadline_us - BATCH_ASIDE_MARGIN_US;
    int64_t latest_us = now_us + (call->is_own ? BATCH_ASIDE_OWN_US : BATCH_ASIDE_US_MAX);

    return in_time_us < latest_us ? in_time_us : latest_us;
}

void
aside_add(struct aside *aside, struct call *call, bool is_apart)
{
    struct line *line = is_apart ? &aside->apart : &aside->together;
    int64_t now_us = clock_steady_us();

    if (call->aside_until_us == 0)
        call->aside_until_us = until_us(call, now_us);
    if (call->aside_until_us <= now_us || line->count >= BATCH_ASIDE_MAX) {
        refuse(call);
        return;
    }
    if (line->count == 0)
        line->due_us = now_us + (is_apart ? BATCH_APART_AGAIN_US : BATCH_ASIDE_AGAIN_US);
    line_push(line, call);
}

int64_t
aside_wait_us(const struct aside *aside)
{
    const struct line *lines[] = { &aside->together, &aside->apart };
    int64_t due_us = INT64_MAX, left_us;

    for (size_t i = 0; i < 2; i++) {
        if (lines[i]->count > 0 && lines[i]->due_us < due_us)
            due_us = lines[i]->due_us;
    }
    if (due_us == INT64_MAX)
        return -1;
    left_us = due_us - clock_steady_us();
    return left_us > 0 ? left_us : 0;
}

size_t
aside_take(struct aside *aside, struct call **calls, size_t max)
{
    struct line *line = &aside->together;
    int64_t now_us = clock_steady_us();
    size_t count = 0;

    if (line->count == 0 || line->due_us > now_us)
        return 0;
    line->due_us = now_us + BATCH_ASIDE_AGAIN_US;
    line_refuse_late(line, now_us);
    while (count < max && line->count > 0)
        calls[count++] = line_pop(line);
    return count;
}

struct call *
aside_take_apart(struct aside *aside)
{
    struct line *line = &aside->apart;
    int64_t now_us = clock_steady_us();

    if (line->count == 0 || line->due_us > now_us)
        return NULL;
    line_refuse_late(line, now_us);
    line->due_us = now_us + BATCH_APART_AGAIN_US;
    return line->count > 0 ? line_pop(line) : NULL;
}

size_t
aside_count(const struct aside *aside)
{
    return aside->together.count + aside->apart.count;
}

void
aside_refuse_all(struct aside *aside)
{
    struct line *lines[] = { &aside->together, &aside->apart };

    for (size_t i = 0; i < 2; i++) {
        while (lines[i]->count > 0)
            refuse(line_pop(lines[i]));
    }
}
