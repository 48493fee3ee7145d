/* service_migrate.h -- PROGRAM --migrate=WORD --database=CONNINFO: what the program does to its schema instead of serving.
 *
 *   expand    applies the steps that are missing, but for those that take something away
 *   contract  those too; refused while a program is connected that does not know them
 *   status    prints the steps, applied and waiting
 *   steps     prints the steps that the program carries, with their digests; needs no database
 *
 * Thread    main, and no other is there.
 */
#ifndef MESH_SERVICE_MIGRATE_H
#define MESH_SERVICE_MIGRATE_H

#include <stdbool.h>

struct service_spec;

/* Is that what the program was started for? */
bool service_migrate_is_asked(int argc, char *const *argv);

/* The exit status: 0 done, 1 it could not be done (the log says why), 2 for a flag that is wrong. */
int service_migrate(int argc, char **argv, const struct service_spec *spec);

#endif
