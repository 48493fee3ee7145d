#include "mesh/store/pg_wire.h"
#include "mesh/base/uuid.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* Element type numbers of pg_type.dat; part of PostgreSQL's protocol and stable since ever. */
static const uint32_t element_oids[] = {
    [PG_INT4] = 23,   [PG_INT8] = 20, [PG_BOOL] = 16,
    [PG_UUID] = 2950, [PG_TEXT] = 25, [PG_BYTES] = 17,
};

void
pg_buffer_free(struct pg_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof *buffer);
}

static void *
reserve(struct pg_buffer *buffer, size_t bytes)
{
    if (buffer->used + bytes > buffer->size) {
        buffer->size = (buffer->used + bytes) * 2;
        buffer->data = memory_grow(buffer->data, buffer->size);
    }
    buffer->used += bytes;
    return buffer->data + buffer->used - bytes;
}

static void
put_int4(struct pg_buffer *buffer, uint32_t value)
{
    value = htonl(value);
    memcpy(reserve(buffer, sizeof value), &value, sizeof value);
}

static void
put_int8(struct pg_buffer *buffer, uint64_t value)
{
    value = htobe64(value);
    memcpy(reserve(buffer, sizeof value), &value, sizeof value);
}

static void
put_counted(struct pg_buffer *buffer, const void *data, size_t count)
{
    if (data == NULL) {
        put_int4(buffer, UINT32_MAX);
        return;
    }
    put_int4(buffer, (uint32_t)count);
    memcpy(reserve(buffer, count), data, count);
}

/* A value with its length before it, as in an array. */
static void
put_value(struct pg_buffer *buffer, enum pg_type type, const void *field)
{
    const char *text;
    struct pg_bytes bytes;
    uint64_t wide;
    uint32_t narrow;

    switch (type) {
    case PG_INT4:
        memcpy(&narrow, field, sizeof narrow);
        put_int4(buffer, 4);
        put_int4(buffer, narrow);
        return;
    case PG_INT8:
        memcpy(&wide, field, sizeof wide);
        put_int4(buffer, 8);
        put_int8(buffer, wide);
        return;
    case PG_BOOL:
        put_int4(buffer, 1);
        *(char *)reserve(buffer, 1) = *(const bool *)field ? 1 : 0;
        return;
    case PG_UUID:
        put_counted(buffer, field, sizeof(struct uuid));
        return;
    case PG_TEXT:
        memcpy(&text, field, sizeof text);
        put_counted(buffer, text, text == NULL ? 0 : strlen(text));
        return;
    case PG_BYTES:
        memcpy(&bytes, field, sizeof bytes);
        put_counted(buffer, bytes.data, bytes.count);
        return;
    }
    abort();
}

static void
put_array(struct pg_buffer *buffer, const struct pg_column *column, const void *const *rows,
          size_t count)
{
    put_int4(buffer, count == 0 ? 0 : 1); /* dimensions */
    put_int4(buffer, 1);                  /* there may be nulls */
    put_int4(buffer, element_oids[column->type]);
    if (count == 0)
        return;
    put_int4(buffer, (uint32_t)count);
    put_int4(buffer, 1); /* first index */
    for (size_t i = 0; i < count; i++)
        put_value(buffer, column->type, (const char *)rows[i] + column->offset);
}

int
pg_wire_write(struct pg_buffer *buffer, const struct pg_column *columns, bool is_single,
              const void *const *rows, size_t count, const char **values, int *lengths,
              int *formats)
{
    size_t starts[PG_COLUMNS_MAX + 1];
    int n = 0;

    buffer->used = 0;
    for (; columns != NULL && columns[n].name != NULL; n++) {
        assert(n < PG_COLUMNS_MAX);
        starts[n] = buffer->used;
        if (is_single)
            put_value(buffer, columns[n].type, (const char *)rows[0] + columns[n].offset);
        else
            put_array(buffer, &columns[n], rows, count);
    }
    starts[n] = buffer->used;
    for (int i = 0; i < n; i++) { /* the buffer has stopped moving */
        size_t skip = is_single ? 4 : 0;
        uint32_t length;

        values[i] = buffer->data + starts[i] + skip;
        lengths[i] = (int)(starts[i + 1] - starts[i] - skip);
        formats[i] = 1;
        if (is_single) {
            memcpy(&length, buffer->data + starts[i], sizeof length);
            if (length == UINT32_MAX)
                values[i] = NULL;
        }
    }
    return n;
}

static void
read_value(const PGresult *result, int row, int index, enum pg_type type, void *field,
           struct arena *arena)
{
    const char *value = PQgetvalue(result, row, index);
    size_t bytes = (size_t)PQgetlength(result, row, index);
    bool is_null = PQgetisnull(result, row, index) == 1;
    uint64_t wide;
    uint32_t narrow;

    switch (type) {
    case PG_INT4:
        assert(is_null || bytes == 4);
        memcpy(&narrow, value, is_null ? 0 : sizeof narrow);
        narrow = is_null ? 0 : ntohl(narrow);
        memcpy(field, &narrow, sizeof narrow);
        return;
    case PG_INT8:
        assert(is_null || bytes == 8);
        memcpy(&wide, value, is_null ? 0 : sizeof wide);
        wide = is_null ? 0 : be64toh(wide);
        memcpy(field, &wide, sizeof wide);
        return;
    case PG_BOOL:
        *(bool *)field = !is_null && value[0] != 0;
        return;
    case PG_UUID:
        assert(is_null || bytes == sizeof(struct uuid));
        if (!is_null)
            memcpy(field, value, sizeof(struct uuid));
        return;
    case PG_TEXT:
        value = is_null ? NULL : arena_copy(arena, value, bytes);
        memcpy(field, &value, sizeof value);
        return;
    case PG_BYTES:
        if (!is_null) {
            struct pg_bytes copy = { (uint8_t *)arena_copy(arena, value, bytes), bytes };

            memcpy(field, &copy, sizeof copy);
        }
        return;
    }
    abort();
}

void
pg_wire_read(const PGresult *result, struct pg_step *step, struct arena *arena)
{
    const struct pg_statement *statement = step->statement;
    int rows = PQntuples(result), columns = PQnfields(result);

    step->ret_changed = (size_t)strtoull(PQcmdTuples((PGresult *)result), NULL, 10);
    step->ret_count = (size_t)rows;
    if (statement->out == NULL)
        return;
    step->ret_rows = arena_take(arena, step->ret_count * statement->out_bytes);
    for (int i = 0; i < columns; i++)
        assert(statement->out[i].name != NULL);
    for (int row = 0; row < rows; row++) {
        char *at = (char *)step->ret_rows + (size_t)row * statement->out_bytes;

        for (int i = 0; i < columns; i++)
            read_value(result, row, i, statement->out[i].type, at + statement->out[i].offset,
                       arena);
    }
}

static void
copy_value(enum pg_type type, void *to, const void *from, struct arena *arena)
{
    const char *text;
    struct pg_bytes bytes;

    switch (type) {
    case PG_INT4:
        memcpy(to, from, sizeof(int32_t));
        return;
    case PG_INT8:
        memcpy(to, from, sizeof(int64_t));
        return;
    case PG_BOOL:
        memcpy(to, from, sizeof(bool));
        return;
    case PG_UUID:
        memcpy(to, from, sizeof(struct uuid));
        return;
    case PG_TEXT:
        memcpy(&text, from, sizeof text);
        text = text == NULL ? NULL : arena_copy(arena, text, strlen(text));
        memcpy(to, &text, sizeof text);
        return;
    case PG_BYTES:
        memcpy(&bytes, from, sizeof bytes);
        if (bytes.data != NULL)
            bytes.data = memcpy(arena_take(arena, bytes.count), bytes.data, bytes.count);
        memcpy(to, &bytes, sizeof bytes);
        return;
    }
    abort();
}

void *
pg_row_copy(const struct pg_statement *statement, const void *row, struct arena *arena)
{
    char *copy = arena_take(arena, statement->out_bytes);

    for (const struct pg_column *column = statement->out; column->name != NULL; column++)
        copy_value(column->type, copy + column->offset, (const char *)row + column->offset, arena);
    return copy;
}
