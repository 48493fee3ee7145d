/* pg_timeline.h -- Which server of a cluster may be written: none that is of an older timeline than one
 * that this program has met.
 *
 * When a standby is promoted it begins a timeline of its own, the next number. A primary that was
 * replaced and comes back still has the old one, and can be written all the same: an answer that is
 * given there is lost. So the highest timeline of each cluster is remembered, for as long as the process lives,
 * and in a file where there is one (--timeline-file). Another system identifier is another cluster, made
 * anew or restored from a dump, and has timelines of its own.
 *
 * Thread    pg_timeline_open: main, before other threads. The others: any.
 */
#ifndef MESH_STORE_PG_TIMELINE_H
#define MESH_STORE_PG_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

enum { PG_CLUSTERS_MAX = 8 };

struct pg_timeline {
    uint64_t cluster; /* its system identifier */
    uint32_t number;
};

/* From here on is known what was known when the program ran last; path "": nothing, and nothing is kept. */
void pg_timeline_open(const char *path);

/* Remembers the timeline. False: it is older than one that is known, *ret_known. */
bool pg_timeline_admit(struct pg_timeline timeline, uint32_t *ret_known);

/* False once a newer one has become known. */
bool pg_timeline_is_newest(struct pg_timeline timeline);

bool pg_timeline_is_known(void); /* is any? */

#endif
