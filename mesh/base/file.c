#include "mesh/base/file.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

char *
file_read(const char *path, size_t bytes_max, struct arena *arena)
{
    FILE *file = fopen(path, "re");
    char *text = arena_take(arena, bytes_max + 2);
    size_t bytes = file == NULL ? 0 : fread(text, 1, bytes_max + 1, file);
    bool is_read = file != NULL && ferror(file) == 0 && bytes <= bytes_max;

    if (file != NULL)
        fclose(file);
    while (bytes > 0 && isspace((unsigned char)text[bytes - 1]))
        bytes--;
    text[bytes] = '\0';
    return is_read && strlen(text) == bytes ? text : NULL;
}

const char *
file_beside(const char *beside, const char *name, struct arena *arena)
{
    const char *slash = strrchr(beside, '/');

    return name[0] == '/' || slash == NULL
               ? name
               : arena_print(arena, "%.*s/%s", (int)(slash - beside), beside, name);
}

char *
file_read_beside(const char *beside, const char *name, size_t bytes_max, struct arena *arena)
{
    return file_read(file_beside(beside, name, arena), bytes_max, arena);
}

/* A file that was emptied by accident must not pass as a key: every request would be refused, or signed
 * with nothing. */
const char *
file_why_no_secret(const char *text, size_t bytes_max)
{
    if (text == NULL || strlen(text) > bytes_max)
        return "cannot be read, or is too long";
    if (text[0] == '\0')
        return "is empty";
    for (; *text != '\0'; text++) {
        if (!isgraph((unsigned char)*text))
            return "must be one line, without spaces";
    }
    return NULL;
}
