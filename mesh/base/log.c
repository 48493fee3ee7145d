#include "mesh/base/log.h"

#include "mesh/base/clock.h"
#include "mesh/base/terminal.h"
#include "mesh/base/time.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 2048 };

static const char *program_name = "mesh";
static enum log_level least_level = LOG_INFO;
static _Thread_local char trace[33];
static pthread_mutex_t rates_lock =
    PTHREAD_MUTEX_INITIALIZER;      /* of all budgets, and of their list */
static struct log_rate *rates_over; /* places that left a line out at some time */

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
    char time[TIME_TEXT_BYTES + 1];
    int bytes = snprintf(line, size, "time=%s level=%s program=%s %s%s%s",
                         time_print(clock_wall_us(), time), names[level], program_name,
                         trace[0] != '\0' ? "trace=" : "", trace, trace[0] != '\0' ? " " : "");

    return (size_t)bytes;
}

static void __attribute__((format(printf, 3, 0)))
print_line(enum log_level level, uint64_t left_out, const char *format, va_list arguments)
{
    enum { TAIL_BYTES = 32 }; /* " left_out=", a number, a newline */
    char line[LINE_BYTES_MAX];
    size_t used = print_head(line, sizeof line, level);
    int bytes = vsnprintf(line + used, sizeof line - used - TAIL_BYTES, format, arguments);

    if (bytes > 0)
        used += (size_t)bytes;
    if (used > sizeof line - TAIL_BYTES - 1)
        used = sizeof line - TAIL_BYTES - 1;
    line[used] = '\0';
    terminal_clean(line); /* one event is one line: a stranger's text adds none */
    if (left_out > 0)
        used += (size_t)snprintf(line + used, TAIL_BYTES, " left_out=%llu",
                                 (unsigned long long)left_out);
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* nobody listens; there is nowhere to say so */
}

void
log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    if (level < least_level)
        return;
    va_start(arguments, format);
    print_line(level, 0, format, arguments);
    va_end(arguments);
}

/* ---- budgets ---- */

bool
log_rate_take(struct log_rate *rate, int64_t now_us, int64_t burst, int64_t each_us)
{
    int64_t full_at_us = rate->full_at_us > now_us ? rate->full_at_us : now_us;

    if (full_at_us - now_us > (burst - 1) * each_us) {
        rate->left_out++;
        return false;
    }
    rate->full_at_us = full_at_us + each_us;
    return true;
}

/* Under the lock. *ret_left_out: lines to be named by the one that is said now. */
static bool
may_say(struct log_rate *rate, enum log_level level, uint64_t *ret_left_out)
{
    bool is_error = level == LOG_ERROR;

    if (!log_rate_take(rate, clock_steady_us(), is_error ? LOG_ERROR_BURST : LOG_WARN_BURST,
                       is_error ? LOG_ERROR_EACH_US : LOG_WARN_EACH_US))
        return false;
    *ret_left_out = rate->left_out;
    rate->left_out = 0;
    return true;
}

void
log_rated(struct log_rate *rate, enum log_level level, const char *format, ...)
{
    uint64_t left_out = 0;
    va_list arguments;
    bool is_said = true;

    if (level < least_level)
        return;
    if (level >= LOG_WARN) {
        pthread_mutex_lock(&rates_lock);
        is_said = may_say(rate, level, &left_out);
        if (!is_said && rate->format == NULL) {
            rate->format = format;
            rate->next = rates_over;
            rates_over = rate;
        }
        pthread_mutex_unlock(&rates_lock);
    }
    if (!is_said)
        return;
    va_start(arguments, format);
    print_line(level, left_out, format, arguments);
    va_end(arguments);
}

void
log_say_left_out(void)
{
    pthread_mutex_lock(&rates_lock);
    for (struct log_rate *rate = rates_over; rate != NULL; rate = rate->next) {
        struct log_rate asked = *rate; /* a question that is answered no must not be counted */
        uint64_t left_out;

        if (rate->left_out == 0 || !may_say(&asked, LOG_WARN, &left_out))
            continue;
        rate->full_at_us = asked.full_at_us;
        rate->left_out = 0;
        log_line(LOG_WARN, "event=LINES_LEFT_OUT left_out=%llu like='%s'",
                 (unsigned long long)left_out, rate->format);
    }
    pthread_mutex_unlock(&rates_lock);
}
