/* die.h -- The end of a program that must not go on, from any thread.
 *
 *     die("shard=%d because=\"another process has it\"", number);
 *
 * For what is found outside: a schema that is missing, a shard that another process took over, a thread
 * that the kernel refuses. A defect of the program itself is an assert or abort(), which leaves a core.
 * What callers were promised is stored, so ending loses nothing, and a supervisor starts the program anew.
 *
 * Thread    Any. The other threads are not asked: no handler of exit() runs, which would free under
 *           them what they use.
 */
#ifndef MESH_BASE_DIE_H
#define MESH_BASE_DIE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* Logs the line as an error, and ends the program with status 1. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* pthread_create(), or the end: no part of a program does its work with a thread less. Signals are the main
 * thread's: this one takes none, but for faults of its own (SIGSEGV and its like). */
void thread_start(pthread_t *ret_thread, void *(*body)(void *context), void *context);

/* Joins it. From this moment of CLOCK_MONOTONIC on *is_over, which breaks off what it waits for (pg_be_patient). */
void thread_end(pthread_t thread, const struct timespec *until, atomic_bool *is_over);

#endif
