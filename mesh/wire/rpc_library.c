#include "mesh/wire/rpc_library.h"

#include "mesh/base/log.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

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

static void
log_set(void)
{
    gpr_set_log_function(log_core);
}

void
rpc_library_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, log_set); /* the core reads it without a lock, so only once */
    grpc_init();
}

void
rpc_library_close(void)
{
    grpc_shutdown();
}
