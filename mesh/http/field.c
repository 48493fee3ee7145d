/* field.c -- A service says "lines[7].sku"; the pattern "lines[].sku" knows that as "/items/7/sku". */
#include "mesh/http/field.h"

#include <stdbool.h>
#include <string.h>

enum { NUMBERS_MAX = 4 };

struct number {
    const char *text;
    size_t bytes;
};

/* Is the field the pattern's? Then *numbers are what stood between its brackets. */
static bool
pattern_matches(const char *pattern, const char *field, struct number numbers[NUMBERS_MAX])
{
    size_t count = 0;

    while (*pattern != '\0') {
        if (*pattern != *field)
            return false;
        pattern++;
        field++;
        if (pattern[-1] != '[')
            continue;
        if (count == NUMBERS_MAX)
            return false;
        numbers[count] = (struct number){ field, strspn(field, "0123456789") };
        if (numbers[count].bytes == 0)
            return false;
        field += numbers[count++].bytes;
    }
    return *field == '\0';
}

static const char *
pointer_fill(const char *pointer, const struct number *numbers, struct arena *arena)
{
    const char *text = "", *gap;

    for (; (gap = strstr(pointer, "[]")) != NULL; pointer = gap + 2, numbers++)
        text = arena_print(arena, "%s%.*s%.*s", text, (int)(gap - pointer), pointer,
                           (int)numbers->bytes, numbers->text);
    return arena_print(arena, "%s%s", text, pointer);
}

const struct field_name *
field_name_find(const struct field_name *names, const char *field, struct arena *arena,
                const char **ret_pointer)
{
    struct number numbers[NUMBERS_MAX] = { 0 };

    *ret_pointer = NULL;
    for (; names != NULL && names->field != NULL; names++) {
        if (!pattern_matches(names->field, field, numbers))
            continue;
        if (names->pointer != NULL)
            *ret_pointer = pointer_fill(names->pointer, numbers, arena);
        return names;
    }
    return NULL;
}
