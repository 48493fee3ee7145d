#include "mesh/rpc/client_wait.h"

#include <stdlib.h>

enum {
    BACKOFF_FIRST_US = 20 * 1000,
    BACKOFF_MAX_US = 1000 * 1000,
    BACKOFF_JITTER_PERCENT = 20,
};

void
list_init(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
    list->count = 0;
}

void
list_push(struct list *list, struct rpc_request *request)
{
    request->item.next = NULL;
    *list->end = &request->item;
    list->end = &request->item.next;
    list->count++;
}

struct rpc_request *
list_first(const struct list *list)
{
    return (struct rpc_request *)list->first; /* item is its first member */
}

struct rpc_request *
list_pop(struct list *list)
{
    struct rpc_request *request = list_first(list);

    list->first = request->item.next;
    if (list->first == NULL)
        list->end = &list->first;
    list->count--;
    return request;
}

void
list_move(struct list *from, struct list *to)
{
    if (from->first == NULL)
        return;
    *to->end = from->first;
    to->end = from->end;
    to->count += from->count;
    list_init(from);
}

static void
swap(struct retries *retries, size_t a, size_t b)
{
    struct rpc_request *request = retries->requests[a];

    retries->requests[a] = retries->requests[b];
    retries->requests[b] = request;
}

static bool
is_sooner(const struct retries *retries, size_t a, size_t b)
{
    return retries->requests[a]->until_us < retries->requests[b]->until_us;
}

void
retries_push(struct retries *retries, struct rpc_request *request)
{
    size_t index = retries->count++;

    if (retries->count > retries->size) {
        retries->size = retries->count * 2;
        retries->requests =
            memory_grow(retries->requests, retries->size * sizeof *retries->requests);
    }
    retries->requests[index] = request;
    while (index > 0 && is_sooner(retries, index, (index - 1) / 2)) {
        swap(retries, index, (index - 1) / 2);
        index = (index - 1) / 2;
    }
}

struct rpc_request *
retries_pop(struct retries *retries)
{
    struct rpc_request *first = retries->requests[0];
    size_t index = 0;

    retries->requests[0] = retries->requests[--retries->count];
    for (;;) {
        size_t least = index;

        for (size_t child = 2 * index + 1; child <= 2 * index + 2; child++) {
            if (child < retries->count && is_sooner(retries, child, least))
                least = child;
        }
        if (least == index)
            return first;
        swap(retries, index, least);
        index = least;
    }
}

int64_t
retries_first_us(const struct retries *retries)
{
    return retries->requests[0]->until_us;
}

void
retries_free(struct retries *retries)
{
    free(retries->requests);
}

int64_t
retry_wait_us(int attempt)
{
    int64_t wait_us = BACKOFF_FIRST_US;
    uint16_t random;

    for (int i = 1; i < attempt && wait_us < BACKOFF_MAX_US; i++)
        wait_us *= 2;
    if (wait_us > BACKOFF_MAX_US)
        wait_us = BACKOFF_MAX_US;
    random_bytes(&random, sizeof random);
    return wait_us * (100 - BACKOFF_JITTER_PERCENT) / 100 +
           wait_us * 2 * BACKOFF_JITTER_PERCENT / 100 * random / UINT16_MAX;
}
