/* journal.h -- Pages of records per shard, and rows of instances: what survives a crash.
 *
 * The owner of a shard folds records into instances in memory and writes the records of one tick as
 * one page, with the rows of instances that ended or were parked, in one transaction. A page that was
 * handed over is written, whatever happens: journal_write() is called with the same tick until it
 * answers ERR_OK. Every write holds the shard's epoch; whoever takes a shard over raises it, and the
 * old owner's next write answers ERR_CONFLICT: it must end.
 *
 * Shards may share a connection where one thread has them all: a journal remembers by itself whether its own
 * last COMMIT is in doubt.
 *
 * Thread    A journal belongs to the thread of its shard, with its connection.
 * Memory    Results live in the caller's arena.
 * Errors    ERR_OK; ERR_STORE_DOWN: try again later (a COMMIT in doubt is settled by the next
 *           journal_write); ERR_BUSY, of journal_write: another transaction keeps the row of an instance, or the
 *           shard's floor, locked; ERR_CONFLICT: the epoch is lost; ERR_INTERNAL: a defect.
 * Units     pages are counted from 1; *_us microseconds since 1970 UTC.
 */
#ifndef MESH_STORE_JOURNAL_H
#define MESH_STORE_JOURNAL_H

#include "mesh/base/uuid.h"
#include "mesh/store/op.h"
#include "mesh/store/partition.h"

enum {
    JOURNAL_PAGE_BYTES_MAX = 1 << 20,
    JOURNAL_FURTHER_MAX = 16,
    JOURNAL_LOCK_MS = 500, /* for a lock; all sagas of the shard wait meanwhile */
};

struct journal;

/* A parked or final row. */
struct journal_row {
    struct uuid id;
    int32_t shard;
    int64_t page;  /* parked: folded up to */
    int64_t place; /* parked: in the order of arrival; final: in the order of ending */
    uint64_t fingerprint;
    int64_t next_us; /* parked */
    const char *phase;
    const char *kind; /* parked, for its owner's metrics: a saga's definition; or NULL */
    const char *body; /* NULL in an index, and of a row that the database cannot read */
};

struct journal_tick {
    const char *body;                        /* one record a line; "" when rows alone change */
    const struct journal_row *const *parked; /* made or replaced; page and shard are filled in */
    size_t parked_count;
    const struct journal_row *const *finals;
    size_t final_count;
    const struct uuid *const *unparked; /* rows to delete: these have ended */
    size_t unparked_count;
    const struct op_row *const *ops; /* records of ops that change an instance (Cancel, Retry...) */
    size_t op_count;
    /* What else becomes true with the page: statements of the owner's with their rows. They are written again
     * where the page is, so they must bear that in a new transaction. What they give back is not kept. */
    const struct pg_step *further; /* JOURNAL_FURTHER_MAX at most (asserted) */
    size_t further_count;
    int64_t floor_page; /* 0: as it was; else pages before it are deleted */
    int64_t now_us;     /* the owner's time; kept where pages are deleted */
};

/* What a journal prepares. */
extern const struct pg_statement *const journal_statements[];

/* How a tick is written, for the benchmark, which writes the same without a saga: finals are
 * struct journal_row, the others take this. */
struct journal_page_row {
    int32_t shard;
    int64_t page, epoch;
    const char *body;
    int32_t max; /* of a scan */
    int64_t floor_page, now_us;
};
extern const struct pg_statement journal_page_insert, journal_final_save, journal_floor_set,
    journal_page_delete;

/* How many shards the database has. */
enum error journal_shard_count(const char *conninfo, int *ret_count);

struct journal_options {
    struct pg *pg; /* the caller's, by journal_pg_new() */
    int shard;
    const struct partitions
        *partitions;      /* that a page writes to; they are made where one is missing */
    bool replaces_finals; /* one that has ended may go on, and ends again; else that is a defect */
};

/* A connection for journals, which prepares what they need and these (NULL: no others). By it a page waits
 * JOURNAL_LOCK_MS for a lock, and no longer. */
struct pg *journal_pg_new(const char *conninfo, const char *application,
                          const struct pg_statement *const *further);

struct journal *journal_new(const struct journal_options *options);
struct journal *journal_free(struct journal *journal);

/* Where shards are not made with the database: this one is there from now on. */
enum error journal_shard_make(struct journal *journal);

/* Connected? Else one quick try. */
enum error journal_connect(struct journal *journal);

/* Takes the shard over: from here on no other owner can write. */
struct journal_owned {
    int64_t floor_page; /* the first to read */
    int64_t next_page;  /* the first to write */
    int64_t now_us;     /* an owner's time when pages were deleted last; 0: none were */
};
enum error journal_own(struct journal *journal, struct journal_owned *ret_owned);

/* Still ours? ERR_CONFLICT: another owner took it over. For a shard that has nothing to write. */
enum error journal_check(struct journal *journal);

/* Pages from `from` on, at most `max`, in order. */
struct journal_page {
    int64_t page;
    const char *body;
};
enum error journal_pages(struct journal *journal, int64_t from, int max, struct arena *arena,
                         struct journal_page **ret_pages, size_t *ret_count);

/* All parked rows of the shard, without their bodies. */
enum error journal_parked_index(struct journal *journal, struct arena *arena,
                                struct journal_row **ret_rows, size_t *ret_count);

/* The row of an id among these; NULL: there is none. */
const struct journal_row *journal_row_find(const struct journal_row *rows, size_t count,
                                           struct uuid id);

/* Parked and final rows of these ids, in one round. Of one that the database cannot read there is the id
 * alone. */
enum error journal_find(struct journal *journal, const struct uuid *ids, size_t count,
                        struct arena *arena, struct journal_row **ret_parked,
                        size_t *ret_parked_count, struct journal_row **ret_finals,
                        size_t *ret_final_count);

/* Records of these ops, if they were here before. */
enum error journal_find_ops(struct journal *journal, const struct uuid *ids, size_t count,
                            struct arena *arena, struct op_row **ret_rows, size_t *ret_count);

/* Final rows with places below `before`, the last one first. */
enum error journal_final_page(struct journal *journal, int64_t before, int max, struct arena *arena,
                              struct journal_row **ret_rows, size_t *ret_count);

/* Writes the tick as page `page`, or finds it written. */
enum error journal_write(struct journal *journal, int64_t page, const struct journal_tick *tick);

#endif
