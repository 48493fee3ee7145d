/* store_clock.h -- The database's clock: asked for, and gone by while it agrees with the program's.
 *
 * Replicas of a program agree by it. But it may be wrong, and step; the program's time is what most clocks
 * say (mesh/base/clock.h). So what the database says counts while it is within STORE_CLOCK_APART_US of that,
 * and else the program's time does: in C by store_now_us(), in SQL by mesh_now_us($1) with the program's.
 *
 * Thread    Any; a connection belongs to one.
 * Errors    Those of pg_round().
 */
#ifndef MESH_STORE_STORE_CLOCK_H
#define MESH_STORE_STORE_CLOCK_H

#include "mesh/store/pg.h"

enum { STORE_CLOCK_APART_US = 1000 * 1000 }; /* as in mesh.sql */

extern const struct pg_statement store_clock; /* for the list of the connection's statements */

/* The .in of a statement whose only parameter is for mesh_now_us($1); a row is the program's time, int64_t. */
extern const struct pg_column store_clock_program[];

/* What the clock said between *ret_asked_us and now, both steady. */
enum error store_clock_ask(struct pg *pg, struct arena *arena, int64_t *ret_asked_us,
                           int64_t *ret_database_us);

/* The time to go by, when the database has just said this. */
int64_t store_now_us(int64_t database_us);

/* No op is given an earlier time than this from now on, in replicas neither: where the clocks agree, the
 * earlier of both; else some time ago, since another program's may differ a little. Pure. */
int64_t store_least_us(int64_t database_us, int64_t program_us);

#endif
