#include "mesh/base/crash.h"

#ifdef MESH_CRASH_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
crash_point(const char *name)
{
    static atomic_long passes;
    const char *wanted = getenv("MESH_CRASH_AT");
    size_t bytes = strlen(name);

    if (wanted == NULL || strncmp(wanted, name, bytes) != 0 || wanted[bytes] != ':')
        return;
    if (atomic_fetch_add(&passes, 1) + 1 == atol(wanted + bytes + 1))
        kill(getpid(), SIGKILL);
}

#else

typedef int crash_points_are_off; /* ISO C wants a declaration in every file */

#endif
