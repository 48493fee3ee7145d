/* pg_hosts.h -- From a conninfo with one host or several to a connection that may be written to.
 *
 * Hosts are tried in their order. One that cannot be written, or is of an older timeline than one that is
 * known (pg_timeline.h), is passed by. Where there are several and no timeline is known yet, all of them
 * are asked for theirs first: a program that starts must not take an old primary because it stands
 * first in the list.
 *
 * Thread    Any; one of its own for each connection. Blocks, for twice PG_CONNECT_SECONDS_MAX a host at most.
 */
#ifndef MESH_STORE_PG_HOSTS_H
#define MESH_STORE_PG_HOSTS_H

#include "mesh/store/pg_timeline.h"

#include <libpq-fe.h>

enum { PG_HOSTS_MAX = 8, PG_WORDS_BYTES = 256 };

/* It does not block (PQsetnonblocking). NULL: none; words say why the last one was not. A timeline of number 0: the server does not tell. */
PGconn *pg_hosts_connect(const char *conninfo, const char *application,
                         struct pg_timeline *ret_timeline, char words[PG_WORDS_BYTES]);

/* Asks all hosts for their timelines, where there are several. */
void pg_hosts_look(const char *conninfo, const char *application);

#endif
