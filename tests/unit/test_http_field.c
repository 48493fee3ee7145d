/* Fields that services refuse, as the one who asked over HTTP knows them. */
#include "mesh/http/field.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct field_name names[] = {
    { "customer_id",    "/customerId",        NULL },
    { "lines",          "/items",             NULL },
    { "lines[].sku",    "/items/[]/sku",      NULL },
    { "a[].b[].c",      "/x/[]/y/[]/z",       NULL },
    { "a[]",            "/x/[]",              NULL },
    { "page_token",     NULL,                 "pageToken" },
    { 0 },
};

static const struct {
    const char *field, *pointer, *parameter;
} fields[] = {
    { "customer_id",          "/customerId",       NULL },
    { "lines",                "/items",            NULL },
    { "lines[0].sku",         "/items/0/sku",      NULL },
    { "lines[99].sku",        "/items/99/sku",     NULL },
    { "a[1].b[23].c",         "/x/1/y/23/z",       NULL },
    { "a[7]",                 "/x/7",              NULL },
    { "page_token",           NULL,                "pageToken" },
    { "",                     NULL,                NULL },
    { "customer",             NULL,                NULL },
    { "customer_id2",         NULL,                NULL },
    { "lines[0]",             NULL,                NULL },
    { "lines[].sku",          NULL,                NULL },
    { "lines[x].sku",         NULL,                NULL },
    { "lines[0].skus",        NULL,                NULL },
    { "lines[0",              NULL,                NULL },
};
/* clang-format on */

START_TEST(fields_are_found)
{
    struct arena *arena = arena_new();
    const char *pointer;
    const struct field_name *name = field_name_find(names, fields[_i].field, arena, &pointer);
    bool is_known = fields[_i].pointer != NULL || fields[_i].parameter != NULL;

    ck_assert_msg((name != NULL) == is_known, "%s", fields[_i].field);
    ck_assert_pstr_eq(pointer, fields[_i].pointer);
    if (name != NULL)
        ck_assert_pstr_eq(name->parameter, fields[_i].parameter);
    arena_free(arena);
}
END_TEST

START_TEST(without_a_table_nothing_is_known)
{
    const char *pointer;

    ck_assert_ptr_null(field_name_find(NULL, "lines", NULL, &pointer));
    ck_assert_ptr_null(pointer);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, fields_are_found, 0, ROWS(fields));
    tcase_add_test(tests, without_a_table_nothing_is_known);
    return check_run("http fields", tests);
}
