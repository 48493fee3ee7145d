/* room.h -- How many calls may stand before one, so that it is decided before its deadline.
 *
 * Thread    Pure.
 * Units     *_us microseconds.
 */
#ifndef MESH_STORE_ROOM_H
#define MESH_STORE_ROOM_H

#include <stddef.h>
#include <stdint.h>

/* batch_max: calls that one transaction takes; round_us: what one takes of late, 0: it is not known; left_us: until the
 * deadline. What fits into the next transaction is always tried. */
size_t store_room(size_t batch_max, int64_t round_us, int64_t left_us);

/* The mean that follows what is measured: an eighth of each new one. */
int64_t store_round_mean(int64_t mean_us, int64_t round_us);

#endif
