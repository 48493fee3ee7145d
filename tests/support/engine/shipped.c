#include "tests/support/engine/shipped.h"

#include <stdio.h>
#include <stdlib.h>

/* NULL when it cannot be read. The text is the caller's to free. */
static char *
file_read(const char *path, size_t *ret_bytes)
{
    FILE *file = fopen(path, "r");
    char *text;

    if (file == NULL)
        return NULL;
    text = calloc(1, DEFINITION_BYTES_MAX + 1);
    *ret_bytes = fread(text, 1, DEFINITION_BYTES_MAX, file);
    fclose(file);
    return text;
}

struct definition *
shipped_definition(const char *name)
{
    static const struct definition_options options = { .must_be_grpc = true };
    struct definition *definition;
    struct problem problem;
    char file[128], path[CHECK_PATH_BYTES];
    size_t bytes = 0;
    char *text;

    snprintf(file, sizeof file, "saga/definitions/%s.json", name);
    check_path(file, path);
    text = file_read(path, &bytes);
    if (text == NULL || definition_read(text, bytes, &options, &problem, &definition) != ERR_OK) {
        fprintf(stderr, "%s: %s %s\n", path, text == NULL ? "cannot be read" : problem.field,
                text == NULL ? "" : problem.text);
        exit(2);
    }
    free(text);
    return definition;
}
