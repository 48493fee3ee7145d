/* descriptor.h -- How many file descriptors there are, and which of them strangers may have.
 *
 * A connection is a descriptor. A program that has none left cannot reach its database, cannot write
 * a file, and some libraries never listen again once accept() has failed. So the soft limit is raised
 * when the program starts, and a reserve is kept from connections that come from outside: the kernel
 * hands out the lowest free number, so a number of accept() that is in the reserve says that so many
 * are open.
 *
 * Thread    descriptors_raise: main, before other threads start. The others: any.
 */
#ifndef MESH_BASE_DESCRIPTOR_H
#define MESH_BASE_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>

enum {
    DESCRIPTORS_RESERVE_MIN = 16,
    DESCRIPTORS_RESERVE_MAX = 1024,
    DESCRIPTORS_OWN = 32, /* about so many a program has open for itself, below its connections */
};

/* Sets the soft limit to wanted, as far as the hard one allows. Returns what it is now. */
size_t descriptors_raise(size_t wanted);

/* A quarter of the soft limit, within the bounds above. */
size_t descriptors_reserve(size_t limit);

/* What each of so many ports may have of the others, so that a crowd at one of them leaves room at the
 * next. At least 1. */
size_t descriptors_share(size_t limit, size_t ports);

/* Does accept()'s number say that only the reserve is left? Such a connection must not be kept. leaves_room: more is kept,
 * for another port of the program: half of the reserve, but for its least. */
bool descriptor_is_in_reserve(int fd, bool leaves_room);

/* Moves fd to the lowest free number, so that a connection that took the place of another is not
 * counted in the reserve. Returns its number now. */
int descriptor_lower(int fd);

#endif
