/* log.h -- One line, key=value, for the person awake at 3 a.m.
 *
 *     log_info("order=%s status=%s because=\"%s\"", ...);
 *     -> time=2026-11-21T10:00:00.123456Z level=info program=order-svc trace=4bf9... order=... 
 *
 * debug = for the author; info = a business event; warn = we coped; error = somebody should act.
 * Never personal data, secrets or bodies.
 *
 * Thread    Any; a line is one write(2) to standard error. The trace is per thread.
 */
#ifndef MESH_BASE_LOG_H
#define MESH_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* program must outlive all logging. */
void log_open(const char *program, enum log_level least);

/* The call that this thread works for: its trace id (32 hex) on every line from here on; NULL: none. */
void log_set_trace(const char *trace_id);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
