#include "mesh/rpc/client_wait.h"
#include "mesh/base/random.h"

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
