/* asked.h -- Numbers that only the database knows, as rows of a table.
 *
 *     { &outbox_unsent, { { "sagamesh_outbox_unsent", METRIC_GAUGE, ... }, { "sagamesh_outbox_oldest_seconds", ... } } },
 *
 * A statement gives a row for each value of the label, or one row without a label, and each of a row's numbers
 * is a gauge. The keeper asks all of them every few seconds (mesh/keeper.h): a scrape shows what was heard last, and
 * waits for no database. A statement goes by an index and counts up to a limit, so that it costs little
 * however much there is.
 *
 * Thread    The keeper's.
 * Memory    Tables are static.
 * Errors    Those of pg_ask(): what was shown stays.
 * Units     A number of METRIC_SECONDS is in microseconds.
 */
#ifndef MESH_STORE_ASKED_H
#define MESH_STORE_ASKED_H

#include "mesh/observe/metrics.h"
#include "mesh/store/store_clock.h"

enum { ASKED_NUMBERS_MAX = 2 };
#define ASKED_LIMIT "10000" /* rows are counted up to here */

struct asked_row {
    const struct pg_statement *statement; /* ASKED_STATEMENT */
    /* Of its numbers; all with one label, or none. The last may be a row of zeros: it has one number. */
    struct metric_row metrics[ASKED_NUMBERS_MAX];
    /* Values of the label that are shown with zeros where no row has them; ends with NULL; or NULL */
    const char *const *labels;
};

/* What a statement gives: the label's value, and numbers. */
struct asked {
    const char *label;
    int64_t numbers[ASKED_NUMBERS_MAX];
};
extern const struct pg_column asked_columns[];

/* $1 is the program's time, for mesh_now_us($1). The statement returns (text, bigint, bigint). */
/* clang-format off */
#define ASKED_STATEMENT(text, query) \
    { .name = (text), .sql = query, .in = store_clock_program, .is_single = true, \
      .out = asked_columns, .out_bytes = sizeof(struct asked) }
/* clang-format on */

/* rows may be NULL; the row of zeros that ends a table is none. */
bool asked_is_row(const struct asked_row *row);

/* rows: end with a row of zeros. They are shown from here on, with zeros where labels are known. */
void asked_show(const struct asked_row *rows, struct metrics *metrics);

/* Asks all of them. The first error is the answer. */
enum error asked_run(const struct asked_row *rows, struct metrics *metrics, struct pg *pg,
                     struct arena *arena);

/* Of all programs with a database: partitions; of those with news: the outbox. */
extern const struct asked_row asked_partitions[], asked_outbox[];

#endif
