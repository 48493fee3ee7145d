/* horizon.h -- Up to which number of a sequence every row is in the table, or never will be.
 *
 * A row draws its number before its transaction ends, so a smaller number may appear after a larger one.
 * Who walks rows by such a number may leave behind only those up to the horizon. No clock has a part in
 * this: after the sequence's value was read a ticket, a transaction's id, is drawn; once no transaction
 * below it is open, all that drew a number up to that value have ended.
 *
 * Thread    One.
 * Errors    Those of pg_round().
 */
#ifndef MESH_STORE_HORIZON_H
#define MESH_STORE_HORIZON_H

#include "mesh/store/pg.h"

struct horizon {
    int64_t settled; /* all rows up to here can be seen; 0: not known yet */
    int64_t aimed,
        ticket; /* it will be aimed once no transaction below ticket is open; 0: neither */
};

extern const struct pg_statement horizon_ticket; /* for the list of the connection's statements */

/* oldest: the smallest transaction's id that is open, xmin of a snapshot. */
void horizon_see(struct horizon *horizon, int64_t oldest);

/* Aims at last, the sequence's value as it was read before, unless an older aim is still waited for. */
enum error horizon_aim(struct horizon *horizon, struct pg *pg, struct arena *arena, int64_t last);

#endif
