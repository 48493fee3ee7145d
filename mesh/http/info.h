/* info.h -- GET /info: which program this is, from which commit, since when, and what it talks to.
 *
 *     {"name":"saga-svc","version":"0.1.0","commit":"0c8a...","built":"2026-11-30T16:00:00Z",
 *      "started":"2026-11-30T17:00:00Z","talks_to":{"database":"host=127.0.0.1 dbname=saga"}}
 *
 * Thread    Any.
 * Memory    Texts are copied.
 */
#ifndef MESH_HTTP_INFO_H
#define MESH_HTTP_INFO_H

#include "mesh/http/route.h"

struct build;
struct info;

/* program, build: outlive it. */
struct info *info_new(const char *program, const struct build *build);

/* After the servers with its routes have closed. NULL is fine. Returns NULL. */
struct info *info_free(struct info *info);

/* One more text in an object of the answer: "talks_to", "database", "host=...". Never a secret: it is shown to
 * all who reach the port. Those of an object one after another. info NULL is fine. */
void info_add(struct info *info, const char *object, const char *name, const char *text);

/* Their table's owner is the struct info. */
extern const struct http_route info_routes[];

#endif
