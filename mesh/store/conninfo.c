/* conninfo.c -- libpq takes it apart, and what is no password is put together again. */
#include "mesh/store/conninfo.h"
#include "mesh/base/arena.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word of libpq's that hides what is typed into a form is a secret. */
static bool
may_be_shown(const PQconninfoOption *option)
{
    return option->val != NULL && option->val[0] != '\0' && strchr(option->dispchar, '*') == NULL;
}

char *
conninfo_show(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    char *text;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);

    if (file == NULL)
        abort(); /* memory only */
    for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL;
         option++) {
        if (may_be_shown(option))
            fprintf(file, "%s%s=%s", ftell(file) == 0 ? "" : " ", option->keyword, option->val);
    }
    if (fclose(file) != 0)
        abort();
    PQconninfoFree(options);
    return text;
}
