#include "mesh/store/page.h"

enum error
page_read(struct pg *pg, const struct pg_statement *statement, const void *op, int32_t size,
          struct arena *arena, struct page *ret_page)
{
    struct pg_step step = { .statement = statement, .rows = &op, .count = 1 };
    enum error error = pg_round(pg, false, &step, 1, arena);
    bool has_more = error == ERR_OK && step.ret_count > (size_t)size;

    *ret_page = (struct page){ .rows = step.ret_rows,
                               .count = has_more ? (size_t)size : step.ret_count,
                               .has_more = has_more };
    return error;
}
