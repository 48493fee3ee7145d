#define _GNU_SOURCE /* pthread_clockjoin_np */
#include "mesh/base/die.h"
#include "mesh/base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

void
die(const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log_line(LOG_ERROR, "%s", line); /* the last one is always said */
    _exit(1);
}

void
thread_start(pthread_t *ret_thread, void *(*body)(void *context), void *context)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL }; /* the thread's own */
    sigset_t held, before;
    int error;

    sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&held, faults[i]);
    pthread_sigmask(SIG_SETMASK, &held, &before);
    error = pthread_create(ret_thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        die("event=THREAD_FAILED because=\"%s\"", strerror(error));
}

void
thread_end(pthread_t thread, const struct timespec *until, atomic_bool *is_over)
{
    if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, until) == 0)
        return;
    atomic_store(is_over, true);
    pthread_join(thread, NULL);
}
