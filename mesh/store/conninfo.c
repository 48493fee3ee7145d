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

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options != NULL && options->keyword != NULL; options++) {
        if (strcmp(options->keyword, keyword) == 0)
            return options->val == NULL ? "" : options->val;
    }
    return "";
}

/* Without a host it is a socket file. */
static bool
is_of_this_machine(const char *host, size_t bytes)
{
    static const char *const names[] = { "localhost", "::1" };

    if (bytes == 0 || host[0] == '/' || host[0] == '@' || strncmp(host, "127.", 4) == 0)
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == bytes && strncmp(host, names[i], bytes) == 0)
            return true;
    }
    return false;
}

static bool
are_of_this_machine(const char *hosts)
{
    for (;; hosts++) {
        size_t bytes = strcspn(hosts, ",");

        if (!is_of_this_machine(hosts, bytes))
            return false;
        hosts += bytes;
        if (*hosts == '\0')
            return true;
    }
}

bool
conninfo_is_unverified(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *address = value_of(options, "hostaddr");
    bool is_said = value_of(options, "sslmode")[0] != '\0' || getenv("PGSSLMODE") != NULL;
    bool is_here = are_of_this_machine(address[0] == '\0' ? value_of(options, "host") : address);

    PQconninfoFree(options);
    return !is_said && !is_here;
}

bool
conninfo_has_password(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    bool has_one = value_of(options, "password")[0] != '\0';

    PQconninfoFree(options);
    return has_one;
}
