/* schema_apply.h -- Brings a database to what a program needs: PROGRAM --migrate.
 *
 * Each step is a transaction of its own, its row in schema_version within it: one that was killed leaves all of a step or
 * nothing, and is begun again. The exception is a step that builds an index CONCURRENTLY, which PostgreSQL does outside
 * of transactions: such a step is that one statement, and what a killed one left behind (an index that is not valid) is
 * dropped before it is tried again. One process at a time applies; another waits for it.
 *
 * A database that was made before it had schema_version gets all of step 1, which leaves what is there.
 *
 * Programs may run meanwhile: a step waits half a second for a lock, is rolled back, and tried again, so that no call
 * queues up behind it for long.
 *
 * Thread    One; blocks.
 * Errors    INTERNAL, CONFLICT (a lock was not to be had for a minute, or a program runs that does not know a contract
 *           step), STORE_DOWN; each is logged.
 */
#ifndef MESH_STORE_SCHEMA_APPLY_H
#define MESH_STORE_SCHEMA_APPLY_H

#include "mesh/store/schema.h"

#include <stdint.h>
#include <stdio.h>

/* Applies the steps that are not there; contract steps where they are wanted, and in a database that was empty. wait_us:
 * how long it waits for locks of others. */
enum error schema_apply(const char *conninfo, const char *application,
                        const struct schema_step *steps, bool with_contract, int64_t wait_us);

/* A line for each step that the program or the database knows: "3 contract gift_note applied 2026-11-21T10:00:00Z". */
enum error schema_print(const char *conninfo, const char *application,
                        const struct schema_step *steps, FILE *out);

#endif
