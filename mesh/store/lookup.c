#include "mesh/store/lookup.h"

#include <stdlib.h>
#include <string.h>

struct lookup_entry {
    const void *key; /* where it is in the row */
    const void *row;
};

static int
compare_uuids(const void *a, const void *b)
{
    return uuid_compare(((const struct lookup_entry *)a)->key,
                        ((const struct lookup_entry *)b)->key);
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)((const struct lookup_entry *)a)->key,
                  *(const char *const *)((const struct lookup_entry *)b)->key);
}

static int (*const compares[])(const void *a, const void *b) = {
    [BATCH_KEY_UUID] = compare_uuids,
    [BATCH_KEY_TEXT] = compare_texts,
};

enum error
lookup_load(const struct lookup *lookup, struct pg *pg, const void *const *keys, size_t count,
            struct arena *arena, struct lookup_rows *ret_rows)
{
    struct pg_step step = { .statement = lookup->statement, .rows = keys, .count = count };
    enum error error = pg_round(pg, false, &step, 1, arena);
    struct lookup_entry *entries;

    if (error != ERR_OK)
        return error;
    entries = arena_take(arena, step.ret_count * sizeof *entries);
    for (size_t i = 0; i < step.ret_count; i++) {
        entries[i].row = (const char *)step.ret_rows + i * lookup->statement->out_bytes;
        entries[i].key = (const char *)entries[i].row + lookup->row_key_offset;
    }
    if (step.ret_count > 0)
        qsort(entries, step.ret_count, sizeof *entries, compares[lookup->key]);
    *ret_rows = (struct lookup_rows){ entries, step.ret_count, lookup->key };
    return ERR_OK;
}

const void *
lookup_find(const struct lookup_rows *rows, const void *key)
{
    const struct lookup_entry wanted = { .key = key }, *found = NULL;

    if (rows->count > 0)
        found = bsearch(&wanted, rows->entries, rows->count, sizeof *found, compares[rows->key]);
    return found == NULL ? NULL : found->row;
}

static void
say_missing(const struct lookup *lookup, struct op *op, const void *key)
{
    if (lookup->missing != NULL)
        lookup->missing(op);
    else if (lookup->key == BATCH_KEY_TEXT)
        problem_set(&op->problem, ERR_NOT_FOUND, lookup->field, "there is no %s '%s'", lookup->noun,
                    *(const char *const *)key);
    else
        problem_set(&op->problem, ERR_NOT_FOUND, lookup->field, "there is no such %s",
                    lookup->noun);
}

enum error
lookup_read(const struct lookup *lookup, struct pg *pg, struct op *const *ops, size_t count,
            struct arena *arena)
{
    const void **keys = arena_take(arena, count * sizeof *keys);
    struct lookup_rows rows;
    enum error error;

    for (size_t i = 0; i < count; i++)
        keys[i] = (const char *)ops[i] + lookup->op_key_offset;
    error = lookup_load(lookup, pg, keys, count, arena, &rows);
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        const void *row = lookup_find(&rows, keys[i]);

        if (row != NULL)
            memcpy((char *)ops[i] + lookup->result_offset, row, lookup->statement->out_bytes);
        else
            say_missing(lookup, ops[i], keys[i]);
    }
    return error;
}
