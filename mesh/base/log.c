#include "mesh/base/log.h"

#include "mesh/base/clock.h"
#include "mesh/base/log_json.h"
#include "mesh/base/terminal.h"
#include "mesh/base/time.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 2048,
    TAIL_BYTES = 32, /* " left_out=", a number, a newline */
    ID_AT = 3,       /* of a traceparent's parts */
    ID_BYTES = 32,
    SPAN_AT = 36,
    SPAN_BYTES = 16,
    FLAGS_AT = 53,
    TRACEPARENT_BYTES = 55,
};

static const char *program_name = "mesh";
static const char *json_version; /* NULL: lines are text */
_Atomic(enum log_level) log_least_level = LOG_INFO;
static _Thread_local struct log_trace trace;
static pthread_mutex_t rates_lock =
    PTHREAD_MUTEX_INITIALIZER;      /* of all budgets, and of their list */
static struct log_rate *rates_over; /* places that left a line out at some time */

void
log_open(const char *program, enum log_level least)
{
    program_name = program;
    log_set_least(least);
}

void
log_set_least(enum log_level least)
{
    atomic_store_explicit(&log_least_level, least, memory_order_relaxed);
}

void
log_open_json(const char *version)
{
    log_json_open();
    json_version = version;
}

struct log_trace
log_trace_begin(const char *traceparent)
{
    struct log_trace before = trace;

    memset(&trace, 0, sizeof trace);
    if (traceparent == NULL || strlen(traceparent) != TRACEPARENT_BYTES)
        return before;
    memcpy(trace.id, traceparent + ID_AT, ID_BYTES);
    memcpy(trace.span, traceparent + SPAN_AT, SPAN_BYTES);
    memcpy(trace.flags, traceparent + FLAGS_AT, 2);
    return before;
}

void
log_trace_end(const struct log_trace *before)
{
    trace = *before;
}

/* ---- a line ---- */

static size_t
print_head(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    char time[TIME_TEXT_BYTES + 1];
    int bytes =
        snprintf(line, size, "time=%s level=%s program=%s %s%s%s",
                 time_print(clock_wall_us(), time), names[level], program_name,
                 trace.id[0] != '\0' ? "trace=" : "", trace.id, trace.id[0] != '\0' ? " " : "");

    return (size_t)bytes;
}

static size_t __attribute__((format(printf, 4, 0)))
print_text(char line[LINE_BYTES_MAX], enum log_level level, uint64_t left_out, const char *format,
           va_list arguments)
{
    size_t used = print_head(line, LINE_BYTES_MAX, level);
    int bytes = vsnprintf(line + used, LINE_BYTES_MAX - used - TAIL_BYTES, format, arguments);

    if (bytes > 0)
        used += (size_t)bytes;
    if (used > LINE_BYTES_MAX - TAIL_BYTES - 1)
        used = LINE_BYTES_MAX - TAIL_BYTES - 1;
    line[used] = '\0';
    terminal_clean(line); /* one event is one line: a stranger's text adds none */
    if (left_out > 0)
        used += (size_t)snprintf(line + used, TAIL_BYTES, " left_out=%llu",
                                 (unsigned long long)left_out);
    line[used++] = '\n';
    return used;
}

static size_t __attribute__((format(printf, 4, 0)))
print_json(char line[LOG_JSON_BYTES_MAX], enum log_level level, uint64_t left_out,
           const char *format, va_list arguments)
{
    const struct log_head head = {
        .time_us = clock_wall_us(),
        .level = level,
        .program = program_name,
        .version = json_version,
        .trace_id = trace.id,
        .span_id = trace.span,
        .trace_flags = trace.flags,
        .left_out = left_out,
    };

    return log_json_print(line, &head, LINE_BYTES_MAX - TAIL_BYTES - 1, format, arguments);
}

static void __attribute__((format(printf, 3, 0)))
write_line(enum log_level level, uint64_t left_out, const char *format, va_list arguments)
{
    char line[LOG_JSON_BYTES_MAX];
    size_t bytes = json_version == NULL ? print_text(line, level, left_out, format, arguments)
                                        : print_json(line, level, left_out, format, arguments);

    while (write(STDERR_FILENO, line, bytes) < 0) {
        if (errno != EINTR)
            return; /* standard error is closed: there is nowhere to say so */
    }
}

void
log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    if (level < log_least())
        return;
    va_start(arguments, format);
    write_line(level, 0, format, arguments);
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
    /* clang-format off */
    static const struct { int64_t burst, each_us; } budgets[] = {
        [LOG_INFO]  = { LOG_INFO_BURST,  LOG_INFO_EACH_US  },
        [LOG_WARN]  = { LOG_WARN_BURST,  LOG_WARN_EACH_US  },
        [LOG_ERROR] = { LOG_ERROR_BURST, LOG_ERROR_EACH_US },
    };
    /* clang-format on */

    if (!log_rate_take(rate, clock_steady_us(), budgets[level].burst, budgets[level].each_us))
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

    if (level < log_least())
        return;
    if (level > LOG_DEBUG) {
        pthread_mutex_lock(&rates_lock);
        is_said = may_say(rate, level, &left_out);
        if (!is_said && rate->format == NULL) {
            rate->format = format;
            rate->level = level;
            rate->next = rates_over;
            rates_over = rate;
        }
        pthread_mutex_unlock(&rates_lock);
    }
    if (!is_said)
        return;
    va_start(arguments, format);
    write_line(level, left_out, format, arguments);
    va_end(arguments);
}

void
log_say_left_out(void)
{
    pthread_mutex_lock(&rates_lock);
    for (struct log_rate *rate = rates_over; rate != NULL; rate = rate->next) {
        struct log_rate asked = *rate; /* a question that is answered no must not be counted */
        uint64_t left_out;

        if (rate->left_out == 0 || !may_say(&asked, rate->level, &left_out))
            continue;
        rate->full_at_us = asked.full_at_us;
        rate->left_out = 0;
        log_line(LOG_WARN, "event=LINES_LEFT_OUT left_out=%llu like='%s'",
                 (unsigned long long)left_out, rate->format);
    }
    pthread_mutex_unlock(&rates_lock);
}
