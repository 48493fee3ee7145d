/* random.h -- Bytes that no caller can foresee, from the kernel.
 *
 * Thread    Any. They are fetched for each thread in stock: an id takes no system call.
 * Errors    A kernel that gives none ends the program.
 */
#ifndef MESH_BASE_RANDOM_H
#define MESH_BASE_RANDOM_H

#include <stddef.h>

void random_bytes(void *data, size_t bytes);

#endif
