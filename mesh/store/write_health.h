/* write_health.h -- Do writes work? A database can answer every question and refuse every change: it is
 * read-only, its disk is full, a right was taken away, COMMIT waits for a standby that is gone.
 *
 * Two sources tell. The store thread says of each transaction whether it was written; once every one has
 * been refused for WRITE_REFUSED_US, WRITE_REFUSED_MIN of them at least, writes do not work, until one is
 * written or none was refused for WRITE_QUIET_US. And the thread of health tries: all statements that write, with
 * no rows (which checks rights, and whether the server may be written at all), and one row of its own,
 * every WRITE_TRY_US, and each time it looks while something is wrong.
 *
 * Thread    write_health_tell: any. The others: one.
 * Units     *_us of the steady clock.
 */
#ifndef MESH_STORE_WRITE_HEALTH_H
#define MESH_STORE_WRITE_HEALTH_H

#include "mesh/store/batch.h"

enum {
    WRITE_REFUSED_US = 2 * 1000 * 1000,
    WRITE_REFUSED_MIN = 3,
    WRITE_QUIET_US = 10 * 1000 * 1000,
    WRITE_TRY_US = 5 * 1000 * 1000,
};

struct write_health;

/* service: whose statements are tried; NULL: only the row. application: the program's name. */
struct write_health *write_health_new(const struct batch_service *service, const char *application);
struct write_health *
write_health_free(struct write_health *health); /* NULL is fine. Returns NULL. */

/* What the connection must have prepared, ends with NULL. Lives as long as health. */
const struct pg_statement *const *write_health_statements(const struct write_health *health);

/* A transaction that would have changed something was written, or refused: STORE_DOWN, INTERNAL. */
void write_health_tell(struct write_health *health, bool is_written);

/* Do they? The first answer that is another than the one before is logged. */
bool write_health_look(struct write_health *health, struct pg *pg);

#endif
