/* engine_shipped.h -- Reads a definition that the project ships, from beside this file's folder. */
#ifndef TESTS_UNIT_ENGINE_SHIPPED_H
#define TESTS_UNIT_ENGINE_SHIPPED_H

#include "saga/engine/definition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Ends the program, with the reason, when it does not load. */
static struct definition *
shipped_definition(const char *name)
{
    static const struct definition_options options = { .must_be_grpc = true };
    struct definition *definition;
    struct problem problem;
    char path[4096];
    const char *slash = strrchr(__FILE__, '/');
    size_t bytes = 0;
    char *text;

    snprintf(path, sizeof path, "%.*s/../../saga/definitions/%s.json", (int)(slash - __FILE__),
             __FILE__, name);
    text = file_read(path, &bytes);
    if (text == NULL || definition_read(text, bytes, &options, &problem, &definition) != ERR_OK) {
        fprintf(stderr, "%s: %s %s\n", path, text == NULL ? "cannot be read" : problem.field,
                text == NULL ? "" : problem.text);
        exit(2);
    }
    free(text);
    return definition;
}

#endif
