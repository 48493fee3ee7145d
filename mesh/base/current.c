/* current.c -- A value and how many refer to it: the current itself, and each view that has seen it.
 *
 * Only who replaces, or sees a new one for the first time, takes the lock. A view that looks at what it has already goes
 * by the address alone, which no other value can have while the view holds it. */
#include "mesh/base/current.h"

#include "mesh/base/arena.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

struct current_held {
    void *value;
    size_t references; /* under the lock: one of the current, one of each view that has seen it */
};

struct current {
    void (*free_value)(void *value);
    pthread_mutex_t lock;
    _Atomic(struct current_held *)
        held; /* written under the lock; never taken from here without it */
};

struct current *
current_new(void (*free_value)(void *value))
{
    struct current *current = memory_take(sizeof *current);

    current->free_value = free_value;
    pthread_mutex_init(&current->lock, NULL);
    return current;
}

/* Under the lock. Returns what is to be freed once that is open again; NULL: it has others. */
static struct current_held *
let_go(struct current_held *held)
{
    return held != NULL && --held->references == 0 ? held : NULL;
}

/* Not under the lock: the free of a value may take long, or look at another current. */
static void
held_free(const struct current *current, struct current_held *held)
{
    if (held == NULL)
        return;
    current->free_value(held->value);
    free(held);
}

struct current *
current_free(struct current *current)
{
    if (current == NULL)
        return NULL;
    held_free(current, let_go(atomic_load(&current->held)));
    pthread_mutex_destroy(&current->lock);
    free(current);
    return NULL;
}

void
current_set(struct current *current, void *value)
{
    struct current_held *held = memory_take(sizeof *held), *old;

    *held = (struct current_held){ .value = value, .references = 1 };
    pthread_mutex_lock(&current->lock);
    old = let_go(atomic_exchange(&current->held, held));
    pthread_mutex_unlock(&current->lock);
    held_free(current, old);
}

/* Relaxed, since what the view has seen it saw under the lock. */
void *
current_look(struct current *current, struct current_view *view)
{
    struct current_held *old;

    if (atomic_load_explicit(&current->held, memory_order_relaxed) == view->held)
        return view->held == NULL ? NULL : view->held->value;
    pthread_mutex_lock(&current->lock);
    old = let_go(view->held);
    view->held = atomic_load(&current->held);
    view->held->references++;
    pthread_mutex_unlock(&current->lock);
    held_free(current, old);
    return view->held->value;
}

void
current_end(struct current *current, struct current_view *view)
{
    struct current_held *old;

    if (view->held == NULL)
        return;
    pthread_mutex_lock(&current->lock);
    old = let_go(view->held);
    pthread_mutex_unlock(&current->lock);
    held_free(current, old);
    view->held = NULL;
}
