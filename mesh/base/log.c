#include "mesh/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 };

static const char *program_name = "mesh";
static enum log_level least_level = LOG_INFO;
static _Thread_local char trace[33];

void
log_open(const char *program, enum log_level least)
{
    program_name = program;
    least_level = least;
}

void
log_set_trace(const char *trace_id)
{
    snprintf(trace, sizeof trace, "%s", trace_id == NULL ? "" : trace_id);
}

static size_t
print_head(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    struct timeval now;
    struct tm utc;
    char date[32];
    int bytes;

    gettimeofday(&now, NULL);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    bytes = snprintf(line, size, "time=%s.%06dZ level=%s program=%s %s%s%s", date, (int)now.tv_usec,
                     names[level], program_name, trace[0] != '\0' ? "trace=" : "", trace,
                     trace[0] != '\0' ? " " : "");
    return (size_t)bytes;
}

void
log_line(enum log_level level, const char *format, ...)
{
    char line[LINE_BYTES_MAX];
    va_list arguments;
    size_t used;
    int bytes;

    if (level < least_level)
        return;
    used = print_head(line, sizeof line, level);
    va_start(arguments, format);
    bytes = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    va_end(arguments);
    if (bytes > 0)
        used += (size_t)bytes;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    for (size_t i = 0; i < used; i++) { /* one event is one line, whatever a stranger sent */
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    }
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody listens; there is nowhere to say so */
}
