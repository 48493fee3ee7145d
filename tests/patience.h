/* patience.h -- how long a test waits before it says that something hangs. */
#ifndef TESTS_PATIENCE_H
#define TESTS_PATIENCE_H

#include <stdint.h>
#include <stdlib.h>

/* A limit, times MESH_PATIENCE: a machine that is shared stands still for seconds. */
static inline int64_t
patient_us(int64_t us)
{
    const char *text = getenv("MESH_PATIENCE");
    int64_t patience = text == NULL ? 1 : atoi(text);

    return us * (patience < 1 ? 1 : patience);
}

#endif
