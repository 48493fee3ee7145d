/* clock_watch.h -- Compares this program's clock with its database's and its peers', and goes by what is right.
 *
 * Once a second every peer is asked what its machine's wall clock says; the program tells what its database
 * said. The clock that most agree with is right (clock_judge.h): the program's time (clock_now_us) is
 * corrected to it. A wall clock of one's own that is wrong, or steps, has no other effect: time goes on
 * steadily.
 *
 * A difference of more than a second is a warning in the log (event=CLOCK_APART), of more than a minute an
 * error (event=CLOCK_OFF), again each minute. A program whose own clock is off like that from the database,
 * if it has one, and from its peers, is not fit: health says NOT_SERVING until it is right again. What
 * comes all the same is served, by the right time.
 *
 * Thread    A thread of its own. clock_watch_database: any one thread. The others: any.
 * Memory    CLOCK_SOURCES_MAX sources.
 * Errors    A peer or a database that cannot be asked has no voice: what it said is forgotten after
 *           CLOCK_FRESH_US, and at once when the own wall clock jumps, since the steady one stands still
 *           while a machine is suspended. No clock to compare with for CLOCK_LONELY_US: the own wall clock is
 *           gone by.
 */
#ifndef MESH_RPC_CLOCK_WATCH_H
#define MESH_RPC_CLOCK_WATCH_H

#include "mesh/base/clock_judge.h"
#include "mesh/base/error.h"

#define CLOCK_FRESH_US (5 * SECOND_US)
#define CLOCK_LONELY_US (60 * SECOND_US)

struct clock_watch;

/* Begins to compare, and to follow. peers: lists of targets (target.h), each "host:port,..." or
 * "service=host:port,..."; an address once, and no services of strangers, who know no clock_service. Of a
 * "dns:///name:port" one replica is asked each time. */
enum error clock_watch_open(const char *const *peers, size_t count, struct clock_watch **ret_watch);

/* NULL is fine. Returns NULL. */
struct clock_watch *clock_watch_close(struct clock_watch *watch);

/* The database said database_us in answer to a question asked at asked_us; both that and now are steady. */
void clock_watch_database(struct clock_watch *watch, int64_t asked_us, int64_t database_us);

/* Before anything goes by the time: judges for the first time, once every peer has answered or cannot be
 * reached, after wait_us at the latest. */
void clock_watch_begin(struct clock_watch *watch, int64_t wait_us);

bool clock_watch_is_fit(const struct clock_watch *watch);

/* Has the time been compared with another clock? Not before one has answered, not while the own wall clock is
 * gone by because none does, and not when that jumped (the machine may have been suspended) until one answers. */
bool clock_watch_is_compared(const struct clock_watch *watch);

/* Each clock that is compared, for gauges: "own", "database", a peer's address; how far it is from what is
 * right (0: not at all, or it cannot be told), and whether that is known. */
void clock_watch_report(struct clock_watch *watch,
                        void (*each)(void *owner, const char *name, int64_t off_us, bool is_known),
                        void *owner);

#endif
