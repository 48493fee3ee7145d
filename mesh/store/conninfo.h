/* conninfo.h -- Where a database is, for people: libpq's conninfo without its secrets.
 *
 * Thread    Any.
 */
#ifndef MESH_STORE_CONNINFO_H
#define MESH_STORE_CONNINFO_H

#include <stdbool.h>

/* "host=127.0.0.1 port=5432 dbname=orders"; also of a URI. Passwords are left out: libpq itself says which of its words
 * are. What it cannot read is "". The caller frees. */
char *conninfo_show(const char *conninfo);

/* Whether it leads over a network and leaves open whom it trusts there: a host that is neither this machine nor a socket
 * file, and no word of sslmode, also none in PGSSLMODE. */
bool conninfo_is_unverified(const char *conninfo);

/* Whether a password stands in it, where who lists processes may see it. */
bool conninfo_has_password(const char *conninfo);

#endif
