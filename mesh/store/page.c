#include "mesh/store/page.h"

enum error
page_read(struct pg *pg, const struct pg_statement *statement, const void *op, int32_t size,
          struct arena *arena, struct page *ret_page)
{
    struct pg_answer answer;
    enum error error = pg_ask(pg, statement, op, arena, &answer);
    bool has_more = answer.count > (size_t)size;

    *ret_page = (struct page){ .rows = answer.rows,
                               .count = has_more ? (size_t)size : answer.count,
                               .has_more = has_more };
    return error;
}
