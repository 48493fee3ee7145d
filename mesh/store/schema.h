/* schema.h -- What a database has and what a program needs of it: numbered steps of SQL.
 *
 * A step is a file of PROGRAM/schema, 0003_expand_gift_note.sql, and the build puts all of them into the program
 * (schema.cmake). A database keeps which steps were applied, in its table schema_version. Steps are of two kinds:
 *
 *   expand    adds: programs that do not know the step work as before. Applied before the program that needs it starts.
 *   contract  takes away, or forbids: applied when no program runs that does not know the step.
 *
 * So a program needs all expand steps that it knows, and works on a database with more of them. One that had a contract
 * step which it does not know is no longer its own. The order is that of the numbers, but a contract step waits while
 * expand steps behind it are applied.
 *
 * A program that runs holds the number of its last step as a shared advisory lock (schema_hold): who applies a contract
 * step takes all smaller numbers for himself first, and is told who has them.
 *
 * Thread    Constant, and pure but for schema_read, schema_look and schema_hold, which are their struct pg's thread's.
 * Memory    Steps are static and end with a row of zeros; rows live in the caller's arena.
 */
#ifndef MESH_STORE_SCHEMA_H
#define MESH_STORE_SCHEMA_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pg;

struct schema_step {
    int version; /* 1, 2, ... */
    bool is_contract;
    const char *name; /* "gift_note" */
    const char *text; /* SQL, with what it includes */
};

/* The program's own; made by the build, for programs that have a folder schema. */
extern const struct schema_step schema_steps[];

enum { SCHEMA_NAME_MAX = 63, SCHEMA_DIGEST_BYTES = 64, SCHEMA_WORDS_BYTES = 512 };

/* The class of the advisory locks; object 0 is who applies steps, N a program whose last step is N. */
enum { SCHEMA_LOCK = 1297302344 };

/* A step that was applied. */
struct schema_row {
    int version;
    bool is_contract;
    char digest[SCHEMA_DIGEST_BYTES + 1], name[SCHEMA_NAME_MAX + 1], at[32]; /* at: RFC 3339 */
};

struct schema_rows {
    bool is_there; /* the table is */
    struct schema_row *rows;
    size_t count;
};

/* SHA-256 of the text, in hexadecimal digits. */
void schema_digest(const struct schema_step *step, char digest[SCHEMA_DIGEST_BYTES + 1]);

/* The number of the last step; 0: there is none. */
int schema_last(const struct schema_step *steps);

/* NULL: it was not applied. */
const struct schema_row *schema_find(const struct schema_rows *applied, int version);

/* The first step that was not applied; contract steps only where they are wanted. NULL: none. */
const struct schema_step *schema_next(const struct schema_step *steps,
                                      const struct schema_rows *applied, bool with_contract);

/* May a program with these steps work on that database? No: words say why. */
bool schema_fits(const struct schema_step *steps, const struct schema_rows *applied,
                 char words[SCHEMA_WORDS_BYTES]);

/* May a program with these steps apply more of them: is each applied one the very same, and none beyond them a contract
 * step? No: words say which. */
bool schema_agrees(const struct schema_step *steps, const struct schema_rows *applied,
                   char words[SCHEMA_WORDS_BYTES]);

/* What was applied. Logs what the database says to it. */
enum error schema_read(struct pg *pg, struct arena *arena, struct schema_rows *ret_applied);

/* Logs what it found. REFUSED: the program must not work on this database; any other error: nothing is known. */
enum error schema_look(struct pg *pg, const struct schema_step *steps);

/* On a connection that stays, before schema_look(): holds the program's number. BUSY: a contract step is being applied
 * that it does not know. */
enum error schema_hold(struct pg *pg, const struct schema_step *steps);

#endif
