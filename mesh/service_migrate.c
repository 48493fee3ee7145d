/* It takes the flags that a migration needs and no others: one can be run where the program's files are not. */
#include "mesh/service_migrate.h"

#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "mesh/service.h"
#include "mesh/store/schema_apply.h"

#include <stdio.h>
#include <string.h>

struct settings {
    const char *migrate, *database;
    int64_t wait_ms;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "migrate",    CONFIG_TEXT, NULL,    0, 0,          "expand: applies the steps that are missing and only add; contract: those that take away too; status: prints them; steps: prints those that this program carries", offsetof(struct settings, migrate) },
    { "database",   CONFIG_TEXT, "",      0, 0,          "libpq conninfo of its own database", offsetof(struct settings, database) },
    { "migrate-wait-ms", CONFIG_INT, "60000", 0, 86400000, "milliseconds to try again where others hold locks", offsetof(struct settings, wait_ms) },
    { 0 },
};
/* clang-format on */

/* Before any flag is read: those of a program that serves may not be there. */
bool
service_migrate_is_asked(int argc, char *const *argv)
{
    static const char flag[] = "--migrate";

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], flag, sizeof flag - 1) == 0)
            return true;
    }
    return false;
}

/* For tests, which compare them with the digests that were agreed on. */
static int
print_steps(const struct schema_step *steps)
{
    for (; steps->version != 0; steps++) {
        char digest[SCHEMA_DIGEST_BYTES + 1];

        schema_digest(steps, digest);
        printf("%d %s %s %s\n", steps->version, steps->is_contract ? "contract" : "expand",
               steps->name, digest);
    }
    return 0;
}

int
service_migrate(int argc, char **argv, const struct service_spec *spec)
{
    struct settings settings;
    const struct config_table table = { keys, &settings };
    enum error error;

    if (config_read(argc, argv, spec->usage, &table, 1) != 0) {
        fprintf(stderr, "%s: '%s' is no flag of --migrate\n", spec->name, argv[0]);
        return 2;
    }
    log_open(spec->name, LOG_INFO);
    if (strcmp(settings.migrate, "steps") == 0)
        return print_steps(spec->schema);
    if (strcmp(settings.migrate, "status") == 0)
        error = schema_print(settings.database, spec->name, spec->schema, stdout);
    else if (strcmp(settings.migrate, "expand") == 0 || strcmp(settings.migrate, "contract") == 0)
        error = schema_apply(settings.database, spec->name, spec->schema,
                             strcmp(settings.migrate, "contract") == 0, settings.wait_ms * 1000);
    else {
        fprintf(stderr, "%s: --migrate is '%s': must be expand, contract, status or steps\n",
                spec->name, settings.migrate);
        return 2;
    }
    return error == ERR_OK ? 0 : 1;
}
