#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "mesh/rpc/library.h"

#include "mesh/base/log.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* What the core calls an error, we cope with. */
static void
log_core(gpr_log_func_args *args)
{
    const char *file = strrchr(args->file, '/');

    log_warn("event=GRPC_SAYS at=%s:%d because=\"%s\"", file == NULL ? args->file : file + 1,
             args->line, args->message);
}

/* Debian 12 builds Abseil, on whose mutexes the core stands, with its search for deadlocks on: each
 * Lock looks into a graph of all mutexes, behind one lock for all of them. It is off in a release
 * build of the core's own, and there is no word for it in C. Where the name is another, it stays on. */
static void
deadlock_search_stop(void)
{
    enum { IGNORE = 0 };
    void (*mode_set)(int mode);
    void *found = dlsym(RTLD_DEFAULT,
                        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE");

    memcpy(&mode_set, &found, sizeof mode_set);
    if (mode_set != NULL)
        mode_set(IGNORE);
}

static void
library_set(void)
{
    gpr_set_log_function(log_core);
    deadlock_search_stop();
}

void
rpc_library_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, library_set); /* the core reads it without a lock, so only once */
    grpc_init();
}

void
rpc_library_close(void)
{
    grpc_shutdown();
}
