/* floor.h -- How far a service's sweep has come: a stored floor, below which nothing is left to do.
 *
 * A sweep walks rows along an index, in the order of time or of a sequence. It begins at its floor, so
 * that a restart does not walk all of history, and raises the floor now and then behind itself. A floor
 * only saves work: it can be wrong, after a clock was, so what is below it is looked at too, slowly,
 * again and again. The table is in mesh.sql; a step of the service inserts a row for each sweep that it
 * has, at 0.
 *
 * Thread    floor_read: the keeper. The op: the store thread, as all ops.
 * Errors    floor_read: those of pg_ask(); INTERNAL when the schema has no such row.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef MESH_STORE_FLOOR_H
#define MESH_STORE_FLOOR_H

#include "mesh/store/batch.h"

struct floor {
    const char *name;
    int64_t floor_us, floor_seq; /* of one that walks by time, or by a sequence; the other is 0 */
};

extern const struct pg_statement floor_load, floor_locked, floor_update;
extern const struct pg_statement floor_find; /* for the list of the keeper's statements */

/* clang-format off */
#define FLOOR_TABLE { \
    .name = "sweep", .row_bytes = sizeof(struct floor), .key = BATCH_KEY_TEXT, \
    .key_offset = offsetof(struct floor, name), .load = &floor_load, .locked = &floor_locked, .update = &floor_update, \
}
/* clang-format on */

/* Of the program itself: the sweep has come this far. A floor never sinks, unless it is to: is_lower.
 * Leaves no record: doing it again changes nothing. */
struct floor_move {
    struct op op;
    size_t table; /* number of the service's FLOOR_TABLE */
    const char *name;
    int64_t floor_us, floor_seq;
    bool is_lower;
};
extern const struct method floor_move_method;

/* The stored floor, and the time to go by (mesh/store/store_clock.h). */
enum error floor_read(struct pg *pg, const char *name, struct arena *arena, int64_t *ret_floor_us,
                      int64_t *ret_now_us);

#endif
