#include "mesh/base/config.h"
#include "mesh/base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number that no key allows, until one is read. */
static const int64_t not_given = INT64_MIN;

static void
fail(const char *name, const char *rule)
{
    fprintf(stderr, "--%s: %s (--help lists the flags)\n", name, rule);
    exit(2);
}

static void
set(const struct config_key *key, void *values, const char *text)
{
    int64_t number;

    switch (key->type) {
    case CONFIG_TEXT:
        memcpy((char *)values + key->offset, &text, sizeof text);
        return;
    case CONFIG_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            fail(key->name, "is given alone, or as true or false");
        *((bool *)((char *)values + key->offset)) = strcmp(text, "true") == 0;
        return;
    case CONFIG_INT:
        if (!text_read_int(text, key->min, key->max, &number)) {
            char rule[128];

            snprintf(rule, sizeof rule, "must be a whole number from %lld to %lld, not '%s'",
                     (long long)key->min, (long long)key->max, text);
            fail(key->name, rule);
        }
        memcpy((char *)values + key->offset, &number, sizeof number);
        return;
    }
}

static const char *
environment(const char *name)
{
    char variable[64];
    size_t at = (size_t)snprintf(variable, sizeof variable, "MESH_");

    for (; *name != '\0' && at + 1 < sizeof variable; name++)
        variable[at++] = *name == '-' ? '_' : (char)toupper((unsigned char)*name);
    variable[at] = '\0';
    return getenv(variable);
}

static void
set_defaults(const struct config_table *table)
{
    for (const struct config_key *key = table->keys; key->name != NULL; key++) {
        const char *text = environment(key->name);

        if (text == NULL)
            text = key->type == CONFIG_FLAG && key->fallback == NULL ? "false" : key->fallback;
        if (text != NULL)
            set(key, table->values, text);
        else if (key->type == CONFIG_INT)
            memcpy((char *)table->values + key->offset, &not_given, sizeof not_given);
    }
}

static void
print_help(const char *usage, const struct config_table *tables, size_t table_count)
{
    printf("%s\n", usage);
    for (size_t i = 0; i < table_count; i++) {
        for (const struct config_key *key = tables[i].keys; key->name != NULL; key++) {
            printf("  --%-24s %s", key->name, key->help);
            if (key->type != CONFIG_FLAG && key->fallback != NULL && key->fallback[0] != '\0')
                printf(" (%s)", key->fallback);
            printf("\n");
        }
    }
    exit(0);
}

static const struct config_key *
find(const char *name, size_t bytes, const struct config_table *tables, size_t table_count,
     void **ret_values)
{
    for (size_t i = 0; i < table_count; i++) {
        for (const struct config_key *key = tables[i].keys; key->name != NULL; key++) {
            if (strlen(key->name) == bytes && memcmp(key->name, name, bytes) == 0) {
                *ret_values = tables[i].values;
                return key;
            }
        }
    }
    fprintf(stderr, "--%.*s: no such flag (--help lists the flags)\n", (int)bytes, name);
    exit(2);
}

/* Reads the flag at argv[i]; returns the index of the last argument it used. */
static int
read_flag(int argc, char **argv, int i, const struct config_table *tables, size_t table_count)
{
    const char *name = argv[i] + 2, *value = strchr(name, '=');
    size_t bytes = value == NULL ? strlen(name) : (size_t)(value - name);
    void *values;
    const struct config_key *key = find(name, bytes, tables, table_count, &values);

    if (value != NULL)
        value++;
    else if (key->type == CONFIG_FLAG)
        value = "true";
    else if (i + 1 < argc)
        value = argv[++i];
    else
        fail(key->name, "needs a value");
    set(key, values, value);
    return i;
}

static void
check_given(const struct config_table *table)
{
    for (const struct config_key *key = table->keys; key->name != NULL; key++) {
        const char *at = (const char *)table->values + key->offset;
        const char *text = "";
        int64_t number = 0;

        if (key->fallback != NULL)
            continue;
        if (key->type == CONFIG_TEXT)
            memcpy(&text, at, sizeof text);
        if (key->type == CONFIG_INT)
            memcpy(&number, at, sizeof number);
        if (text == NULL || number == not_given)
            fail(key->name, "must be given");
    }
}

int
config_read(int argc, char **argv, const char *usage, const struct config_table *tables,
            size_t table_count)
{
    int words = 0;

    for (size_t i = 0; i < table_count; i++)
        set_defaults(&tables[i]);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            print_help(usage, tables, table_count);
        if (strncmp(argv[i], "--", 2) == 0)
            i = read_flag(argc, argv, i, tables, table_count);
        else
            argv[words++] = argv[i];
    }
    for (size_t i = 0; i < table_count; i++)
        check_given(&tables[i]);
    return words;
}
