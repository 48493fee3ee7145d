/* conninfo.h -- Where a database is, for people: libpq's conninfo without its secrets.
 *
 * Thread    Any.
 */
#ifndef MESH_STORE_CONNINFO_H
#define MESH_STORE_CONNINFO_H

/* "host=127.0.0.1 port=5432 dbname=orders"; also of a URI. Passwords are left out: libpq itself says which of its words
 * are. What it cannot read is "". The caller frees. */
char *conninfo_show(const char *conninfo);

#endif
