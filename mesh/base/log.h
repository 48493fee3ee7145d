/* log.h -- One line, key=value, for the person awake at 3 a.m.
 *
 *     log_info("order=%s status=%s because=\"%s\"", ...);
 *     -> time=2026-11-21T10:00:00.123456Z level=info program=order-svc trace=4bf9... order=...
 *
 * debug = for the author; info = a business event; warn = we coped; error = somebody should act.
 * Never personal data, secrets or bodies. The same line as a JSON object: mesh/base/log_json.h.
 *
 * A fault can make one place of the code warn without end, and a stranger who asks for the same thing
 * again and again can make one tell of it without end. So each log_info(), log_warn() and log_error() has
 * a budget: LOG_WARN_BURST lines at once and one more each LOG_WARN_EACH_US, and likewise for the others;
 * that of log_info() is more than business makes. What is beyond it is counted: the place's next line ends
 * with left_out=N, and where none follows, log_say_left_out() says it. log_debug() has none: an operator
 * turned it on, and sees all of it.
 *
 * Thread    Any; a line is one write(2) to standard error. The trace is per thread.
 * Units     *_us microseconds of the steady clock.
 */
#ifndef MESH_BASE_LOG_H
#define MESH_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum {
    LOG_INFO_BURST = 5000,
    LOG_INFO_EACH_US = 1000,
    LOG_WARN_BURST = 20,
    LOG_WARN_EACH_US = 5 * 1000 * 1000,
    LOG_ERROR_BURST = 50,
    LOG_ERROR_EACH_US = 2 * 1000 * 1000,
};

/* The budget of one place. Zeros: nothing was said yet. */
struct log_rate {
    int64_t full_at_us; /* when the whole burst may be said again */
    uint64_t left_out;
    const char *format;    /* of the first line that was left out */
    enum log_level level;  /* of that line */
    struct log_rate *next; /* among the places that left a line out */
};

/* program must outlive all logging. */
void log_open(const char *program, enum log_level least);

/* The least level that is said. Lines below it are not even composed. Operators change it: log_level.h. */
extern _Atomic(enum log_level) log_least_level;

static inline enum log_level
log_least(void)
{
    return atomic_load_explicit(&log_least_level, memory_order_relaxed);
}

void log_set_least(enum log_level least);

/* From here on a line is a JSON object, with service.version. version must outlive all logging. */
void log_open_json(const char *version);

/* What this thread works for now: lines have the ids of its traceparent (W3C, 55 characters; NULL or "":
 * none) until log_trace_end() with what begin returned, which is how it was before. Work for one order that
 * is done inside other work begins and ends inside it, so no thread keeps a trace that is over. */
struct log_trace {
    char id[33], span[17], flags[3]; /* "": none */
};
struct log_trace log_trace_begin(const char *traceparent);
void log_trace_end(const struct log_trace *before);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same within the budget of rate, which must be static; LOG_DEBUG has none. */
void log_rated(struct log_rate *rate, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One line for each place that left lines out and has said nothing since. The main thread calls it (mesh/program.h). */
void log_say_left_out(void);

/* Takes one line out of the budget: burst at once, then one each each_us. False: it is counted in
 * rate->left_out. */
bool log_rate_take(struct log_rate *rate, int64_t now_us, int64_t burst, int64_t each_us);

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
/* For a place whose lines are not all of one level. The arguments are made only where the line is said. */
#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_rate rate_of_this_place;                                                 \
        enum log_level level_of_this_line = (level);                                               \
        if (level_of_this_line >= log_least())                                                     \
            log_rated(&rate_of_this_place, level_of_this_line, __VA_ARGS__);                       \
    } while (0)

#endif
