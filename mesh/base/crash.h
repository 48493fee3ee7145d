/* crash.h -- Named points at which a test build ends itself, to prove that any of them is survived.
 *
 * MESH_CRASH_AT=name:N (environment) makes the Nth pass of that point kill the process with SIGKILL:
 * no handler, no flush, as a power cut would. Compiled to nothing unless MESH_CRASH_POINTS is on.
 */
#ifndef MESH_BASE_CRASH_H
#define MESH_BASE_CRASH_H

#ifdef MESH_CRASH_POINTS
void crash_point(const char *name);
#else
#define crash_point(name) ((void)0)
#endif

#endif
