/* shard_clock.h -- The time that a shard's sagas go by. Pure.
 *
 * It is the program's (mesh/base/clock.h), and never runs backwards. Where the program's time steps back, or
 * the journal was written ahead of it, this goes on from where it was, a tenth slower, until they meet: no
 * timer stands still, however far it was. How far it is ahead then, a Deadline must know, which is a time of
 * the world.
 *
 * Units     *_us microseconds.
 */
#ifndef SAGA_SHARD_CLOCK_H
#define SAGA_SHARD_CLOCK_H

#include <stdint.h>

struct shard_clock {
    int64_t now_us;
    int64_t steady_us; /* when that was */
};

/* What it says at a steady time, when the program's time is program_us. */
int64_t shard_clock_at(const struct shard_clock *clock, int64_t steady_us, int64_t program_us);

/* How far it is ahead of the program's time; a second is nothing. */
int64_t shard_clock_ahead_us(const struct shard_clock *clock, int64_t program_us);

#endif
