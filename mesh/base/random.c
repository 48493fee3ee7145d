#include "mesh/base/random.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void
random_bytes(void *data, size_t bytes)
{
    static _Thread_local unsigned char pool[256]; /* getrandom() answers up to 256 bytes whole */
    static _Thread_local size_t left;

    if (bytes > left) {
        if (bytes > sizeof pool || getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            abort();
        left = sizeof pool;
    }
    left -= bytes;
    memcpy(data, pool + left, bytes);
}
