/* random.h -- Machines and events at random: what the engine must bear, with any event.
 *
 * Everything is drawn from a dice: from a fuzzer's bytes as long as there are some, then from a seed.
 */
#ifndef TESTS_SUPPORT_ENGINE_RANDOM_H
#define TESTS_SUPPORT_ENGINE_RANDOM_H

#include "saga/engine/engine.h"

struct dice {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
};

int draw(struct dice *dice, int sides);

#define DRAW_OF(dice, list) (list)[draw(dice, (int)(sizeof(list) / sizeof *(list)))]

/* Its JSON; the caller frees it. Not every one loads. */
char *random_machine(struct dice *dice);

/* What an event points to, for as long as it is told. */
struct random_event {
    struct engine_event event;
    json_t *json;
};

/* Mostly what moves the saga: the answer that it waits for, or that its time has come. */
void random_event(struct dice *dice, const struct instance *instance,
                  struct random_event *ret_event);

#endif
