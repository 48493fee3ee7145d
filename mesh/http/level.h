/* level.h -- The level of the log, asked and changed over HTTP: /log-level, of the port for operators.
 *
 *     PUT /log-level {"level":"debug","seconds":600}
 *     -> {"level":"debug","usual":"info","secondsLeft":600}
 *
 * Without seconds the change is for good: until the next one, or the program's end.
 *
 * Thread    The server's.
 */
#ifndef MESH_HTTP_LEVEL_H
#define MESH_HTTP_LEVEL_H

#include "mesh/http/route.h"

enum { LEVEL_SECONDS_MAX = 24 * 3600 };

extern const struct http_route level_routes[];

#endif
