#include "mesh/base/hold.h"

#include <assert.h>
#include <stddef.h>

enum { HELD_MAX = 8 }; /* takers one thread feeds at once; one more is woken at once */

struct held {
    int depth;
    size_t count;
    struct {
        void (*wake)(void *owner);
        void *owner;
    } wakes[HELD_MAX];
};

static _Thread_local struct held held;

void
hold_begin(void)
{
    held.depth++;
}

void
hold_end(void)
{
    size_t count = held.count;

    assert(held.depth > 0);
    if (--held.depth > 0)
        return;
    held.count = 0;
    for (size_t i = 0; i < count; i++)
        held.wakes[i].wake(held.wakes[i].owner);
}

bool
hold_wake(void (*wake)(void *owner), void *owner)
{
    for (size_t i = 0; i < held.count; i++) {
        if (held.wakes[i].owner == owner)
            return true;
    }
    if (held.depth == 0 || held.count == HELD_MAX)
        return false;
    held.wakes[held.count].wake = wake;
    held.wakes[held.count++].owner = owner;
    return true;
}
