/* log_level.h -- How much is logged, and for how long: an operator changes it while the program runs.
 *
 *     log_level_set(LOG_DEBUG, 600 * SECOND_US);   ten minutes of all there is, then as before
 *     -> event=LOG_LEVEL level=debug before=info seconds=600
 *
 * What a program was started with is its usual level. A change for a while ends at the usual level, or at
 * the one that was set for good since.
 *
 * Thread    Any. The main thread looks each second whether a while is over (mesh/program.h).
 * Units     *_us microseconds.
 */
#ifndef MESH_BASE_LOG_LEVEL_H
#define MESH_BASE_LOG_LEVEL_H

#include "mesh/base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct log_level_state {
    enum log_level level;
    enum log_level usual; /* when the while is over */
    int64_t left_us;      /* of the while; 0: level is the usual one */
};

/* "debug", "info", "warn", "error". */
const char *log_level_word(enum log_level level);
bool log_level_read(const char *word, enum log_level *ret_level);

/* for_us 0: for good. Logs the change. */
void log_level_set(enum log_level level, int64_t for_us);

struct log_level_state log_level_state(void);

/* Goes back to the usual level where the while is over. */
void log_level_look(void);

#endif
