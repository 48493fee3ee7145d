/* ops.h -- What a process shows to those who watch over it, and the port where it does: /livez, /readyz,
 * /metrics, /info, /log-level, and for a program that wants it /actuator.
 *
 * Every program has one (mesh/program.h, --ops-listen). It is open from before the program opens until after it
 * has closed, so that a program that waits for its database can be asked why. No handler asks another program
 * while an answer is made: what is shown was found out before.
 *
 * Thread    ops_open, ops_close: main. The parts: any.
 * Errors    ops_open: those of http_server_open().
 */
#ifndef MESH_OPS_H
#define MESH_OPS_H

#include "mesh/base/error.h"

#include <stdbool.h>

/* Parts of the program take what they need of it with their options. Each may be NULL where there is no ops port, as in
 * tests: all calls with it do nothing then. */
struct ops {
    struct metrics *metrics;   /* mesh/observe/metrics.h */
    struct health *health;     /* mesh/http/health.h */
    struct info *info;         /* mesh/http/info.h */
    struct file_watch *files;  /* mesh/observe/file_watch.h; the main thread's */
    struct actuator *actuator; /* mesh/http/actuator.h; shown where the program wants it */
};

struct ops_server;

struct ops_options {
    const char *program, *listen;
    bool has_actuator;
};

enum error ops_open(const struct ops_options *options, struct ops_server **ret_server);
int ops_port(const struct ops_server *server);
const struct ops *ops_parts(const struct ops_server *server);

/* NULL is fine. Returns NULL. */
struct ops_server *ops_close(struct ops_server *server);

#endif
