/* A change is told at warn, while the lower of both levels holds: so it is told whichever they are. */
#include "mesh/base/log_level.h"

#include "mesh/base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

static const char *const words[] = { "debug", "info", "warn", "error" };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below, and of changes */
static enum log_level usual;
static int64_t until_us; /* steady clock; 0: no while, the level is the usual one */

const char *
log_level_word(enum log_level level)
{
    return words[level];
}

bool
log_level_read(const char *word, enum log_level *ret_level)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (strcmp(words[level], word) != 0)
            continue;
        *ret_level = (enum log_level)level;
        return true;
    }
    return false;
}

/* Under the lock. */
static void
change(enum log_level level, int64_t for_us)
{
    enum log_level before = log_least();

    if (level < before)
        log_set_least(level);
    log_line(LOG_WARN, "event=LOG_LEVEL level=%s before=%s seconds=%" PRId64, words[level],
             words[before], for_us / 1000000);
    log_set_least(level);
}

void
log_level_set(enum log_level level, int64_t for_us)
{
    pthread_mutex_lock(&lock);
    if (until_us == 0)
        usual = log_least();
    until_us = for_us == 0 ? 0 : clock_steady_us() + for_us;
    change(level, for_us);
    pthread_mutex_unlock(&lock);
}

struct log_level_state
log_level_state(void)
{
    struct log_level_state state = { 0 };
    int64_t left_us;

    pthread_mutex_lock(&lock);
    state.level = state.usual = log_least();
    if (until_us != 0) {
        left_us = until_us - clock_steady_us();
        state.usual = usual;
        state.left_us = left_us > 0 ? left_us : 1; /* over, and not yet looked at */
    }
    pthread_mutex_unlock(&lock);
    return state;
}

void
log_level_look(void)
{
    pthread_mutex_lock(&lock);
    if (until_us != 0 && clock_steady_us() >= until_us) {
        until_us = 0;
        change(usual, 0);
    }
    pthread_mutex_unlock(&lock);
}
