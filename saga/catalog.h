/* catalog.h -- The definitions that are loaded: the newest of each name, and every older version that
 * an instance may be pinned to.
 *
 * Definitions come as files (*.json of a folder) and are stored by their content's hash in the
 * database, so that an instance ends on the bytes it started with, whatever the folder holds later.
 * One of the folder is checked against the descriptors: services, methods and the fields of requests must
 * exist. A stored version was, in its time: what it lacks now makes its sagas stuck when they come there.
 *
 * Thread    Loaded by the main thread before others start. From then on any, also catalog_refresh(): two that refresh at once
 *           may add a version twice, which is harmless.
 * Errors    A definition of the folder that cannot be used ends the program, by name and rule, unless an older
 *           program stored the very same: then it is loaded like a stored version, and new sagas start on it. A
 *           stored one that cannot be read any more is logged, and its instances are stuck.
 */
#ifndef SAGA_CATALOG_H
#define SAGA_CATALOG_H

#include "mesh/pb/pbjson.h"
#include "mesh/store/pg.h"
#include "saga/engine/definition.h"

struct catalog;

/* Reads folder/ *.json. Problems are printed; ERR_BAD_REQUEST when a file is nothing that could have been
 * stored, or there is none. */
enum error catalog_read(const char *folder, const struct pbjson *pbjson,
                        struct catalog **ret_catalog);

/* Stores what is new in the database and reads the older versions from it. ERR_BAD_REQUEST: a file is refused,
 * and was never stored. */
enum error catalog_store(struct catalog *catalog, const char *conninfo);

/* Reads what other orchestrators have stored since; before their sagas are read. */
enum error catalog_refresh(struct catalog *catalog, const char *conninfo);

struct catalog *catalog_free(struct catalog *catalog);

/* The newest of that name; NULL when there is none. */
const struct definition *catalog_newest(struct catalog *catalog, const char *name);

/* Fits definition_find. */
const struct definition *catalog_find(void *catalog, const char *name, const char *hash);

/* Walks all: *cursor starts at 0; NULL at the end. */
const struct definition *catalog_next(struct catalog *catalog, size_t *cursor, bool *ret_is_newest);

#endif
