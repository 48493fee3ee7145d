#include "saga/engine/exception.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* A class may stand in more than one row: our network classes are Java's, and RuntimeExceptions too,
 * because a definition may catch them as either. */
/* clang-format off */
static const struct {
    const char *name, *parent;
} classes[] = {
    { "java.lang.Exception",             "java.lang.Throwable" },
    { "java.lang.Error",                 "java.lang.Throwable" },
    { "java.lang.RuntimeException",      "java.lang.Exception" },
    { "java.io.IOException",             "java.lang.Exception" },
    { "java.net.SocketException",        "java.io.IOException" },
    { "java.net.ConnectException",       "java.net.SocketException" },
    { "java.io.InterruptedIOException",  "java.io.IOException" },
    { "java.net.SocketTimeoutException", "java.io.InterruptedIOException" },
    { CLASS_REFUSED,                     "java.lang.RuntimeException" },
    { CLASS_CANCELED,                    "java.lang.RuntimeException" },
    { CLASS_TIMEOUT,                     "java.lang.RuntimeException" },
    { CLASS_DEFINITION,                  "java.lang.RuntimeException" },
    { CLASS_NOT_DONE,                    "java.net.ConnectException" },
    { CLASS_NOT_DONE,                    "java.lang.RuntimeException" },
    { CLASS_UNKNOWN,                     "java.net.SocketTimeoutException" },
    { CLASS_UNKNOWN,                     "java.lang.RuntimeException" },
};
/* clang-format on */

static bool
ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);

    return bytes >= end_bytes && strcmp(text + bytes - end_bytes, end) == 0;
}

static bool
is_same(const char *name, const char *ancestor)
{
    const char *last = strrchr(name, '.');

    if (strcmp(name, ancestor) == 0)
        return true;
    return strchr(ancestor, '.') == NULL && last != NULL && strcmp(last + 1, ancestor) == 0;
}

/* What a class that stands in no row is below of. */
static const char *
parent_of_stranger(const char *name)
{
    if (strncmp(name, CLASS_REFUSED ".", strlen(CLASS_REFUSED ".")) == 0)
        return CLASS_REFUSED;
    if (strcmp(name, "java.lang.Throwable") == 0)
        return NULL;
    return ends_with(name, "Error") ? "java.lang.Error" : "java.lang.RuntimeException";
}

bool
exception_is(const char *name, const char *ancestor)
{
    bool is_known = false;
    const char *parent;

    if (is_same(name, ancestor))
        return true;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strcmp(classes[i].name, name) != 0)
            continue;
        is_known = true;
        if (exception_is(classes[i].parent, ancestor))
            return true;
    }
    parent = is_known ? NULL : parent_of_stranger(name);
    return parent != NULL && exception_is(parent, ancestor);
}
