/* program.h -- The life of a process, which every program of the mesh has in common.
 *
 *   flags -> log -> signals blocked -> ops port -> open -> ready file -> SIGTERM or SIGINT -> pause -> close -> 0
 *
 * The main thread opens the program and then waits for signals; each second it ticks, and looks at the files that are
 * watched (mesh/observe/file_watch.h). SIGHUP has it read all of them again at once. SIGUSR1, which logged
 * counters once, does nothing. The ready file appears complete, by a rename, once the program is ready: its ports in a line,
 * "7401" or "7400 7500", and in the next "ops 9401". The ops port (mesh/ops.h) says "starting" until then, and
 * "stopping" from SIGTERM on.
 *
 * Exit status: 0 after SIGTERM or SIGINT, 1 when it could not open (the log says why), 2 for a flag that is
 * wrong (standard error names it).
 *
 * Beside its own flags a program has --ops-listen, --ready-file, --log-format and --debug, and of
 * --descriptors-max, --unready-ms and --drain-ms those that it names a default for.
 *
 * Thread    All callbacks: the main thread. Signals are blocked before open, so that no thread of the
 *           program's gets one.
 * Units     *_ms milliseconds.
 */
#ifndef MESH_PROGRAM_H
#define MESH_PROGRAM_H

#include "mesh/base/config.h"
#include "mesh/base/error.h"
#include "mesh/ops.h"

#include <stdbool.h>

enum { PROGRAM_PORTS_MAX = 2, PROGRAM_TABLES_MAX = 8 };

struct program {
    const char *name;                  /* "storage-svc" */
    const char *usage;                 /* the first line of --help */
    const struct config_table *tables; /* its own flags; ends with a row of zeros; or NULL */
    /* Defaults of common flags, as text. NULL: it has no such flag. Without the first it raises the limit
     * of descriptors itself, or not at all; without the second it closes at once. */
    const char *descriptors_max, *unready_ms, *drain_ms;
    bool has_actuator; /* its ops port shows /actuator, too */
    void *owner;       /* of the callbacks; those below open may be NULL */
    /* Starts everything; what it shows goes to ops, which lives until after close. STOPPING: a signal came
     * meanwhile (program_pause), and the program ends with 0. Any other error, which is logged: it ends with 1. */
    enum error (*open)(void *owner, const struct ops *ops);
    /* Asked after open until it says yes, with the ports for the ready file; one that stays 0 is none. */
    bool (*is_ready)(void *owner, int ret_ports[PROGRAM_PORTS_MAX]);
    void (*tick)(void *owner); /* at once, and each second */
    void (*close)(void *owner,
                  int drain_ms); /* after SIGTERM and --unready-ms, or a second SIGTERM */
};

/* Returns the exit status. */
int program_main(int argc, char **argv, const struct program *program);

/* For open: waits a moment for something outside. False: a signal says that the program shall end. */
bool program_pause(void);

#endif
