/* batch_rows_inner.h -- What batch_rows.c (touch, find, add) and batch_rows_sql.c (load, save) share.
 */
#ifndef MESH_STORE_BATCH_ROWS_INNER_H
#define MESH_STORE_BATCH_ROWS_INNER_H

#include "mesh/base/map.h"
#include "mesh/store/batch_rows.h"

/* A key that was touched, with its row once there is one. */
struct slot {
    UT_hash_handle by_key, by_row;
    size_t table;
    const void *key; /* struct uuid or char */
    void *row;       /* NULL: touched, and there is none */
    enum batch_row_state state;
    bool is_locked; /* by another transaction: it was not loaded */
};

struct slots {
    struct slot **items;
    size_t count, size;
};

/* What touch callbacks get. Usually they add keys; asked, they only look among those that are there. */
struct batch_touch {
    struct batch_rows *rows;
    bool is_asked;
    size_t table;  /* asked for any key of this table; BATCH_TABLES_MAX: for one that is locked */
    bool is_found; /* the answer */
};

struct batch_rows {
    const struct batch_service *service;
    struct arena *arena;
    struct slot *by_key[BATCH_TABLES_MAX]; /* maps, which live in the arena too */
    struct slot *by_row;                   /* slots with a row, by its address */
    struct slots tables[BATCH_TABLES_MAX];
    struct slots events; /* row = struct event */
    int64_t added;       /* records */
    size_t loaded_up_to; /* tables before this one are loaded: touching them is too late */
    struct batch_touch touch;
    size_t locked_count, locked_table;
    int locked_by; /* one of those who have them */
};

/* batch_rows.c */
struct slot *slot_find(struct batch_rows *rows, size_t table, const void *key);
void slot_fill(struct batch_rows *rows, struct slot *slot, void *row, enum batch_row_state state);
const void *row_key(const struct batch_table *kind, const void *row);

#endif
