/* log_json.h -- A line of the log as one JSON object, for what collects logs.
 *
 *     order=4f... event=STUCK code=3 because="it said "no""
 *     -> {"timestamp":"2026-11-21T10:00:00.123456Z","severity":"ERROR","severity_number":17,
 *         "service.name":"saga-svc","service.version":"0.1.0","trace_id":"4bf9...","span_id":"00f0...",
 *         "trace_flags":"01","order_id":"4f...","event.name":"STUCK","code":3,"error.message":"it said \"no\"",
 *         "message":"order=4f... event=STUCK code=3 because=\"it said \"no\"\""}
 *
 * It is made of the words of the text line, so that both formats say the same, and of the place's
 * format string, which says where a word begins and ends: a stranger's text is the inside of a value,
 * whatever quotes, spaces and equals signs it holds. So a text makes no member, and ends none.
 *
 *   key=value      a member; a number where the text is one and no %s made it. A name that stands twice
 *                  gets _2, one of the head's too.
 *   a bare word    stands in the message alone
 *   message        the line as the text format has it behind its head; it is cut first
 *
 * A line has LOG_JSON_BYTES_MAX at most, its newline with it: what a pipe takes in one piece (PIPE_BUF).
 * One that had to be cut has the member "cut":true.
 *
 * Thread    Any; log_json_open() before they start.
 * Memory    The caller's.
 */
#ifndef MESH_BASE_LOG_JSON_H
#define MESH_BASE_LOG_JSON_H

#include "mesh/base/log.h"

#include <stdarg.h>
#include <stddef.h>

enum { LOG_JSON_BYTES_MAX = 4096 };

/* What stands before the words of the line. Texts are ours, and have nothing to escape. */
struct log_head {
    int64_t time_us; /* wall clock */
    enum log_level level;
    const char *program, *version;
    const char *trace_id, *span_id, *trace_flags; /* "": not known */
    uint64_t left_out;                            /* 0: no member */
};

void log_json_open(void);

/* Writes a line with its newline, and no NUL; returns its bytes. text_bytes_max: what the text format
 * would show of the words. */
size_t log_json_print(char line[LOG_JSON_BYTES_MAX], const struct log_head *head,
                      size_t text_bytes_max, const char *format, va_list arguments)
    __attribute__((format(printf, 4, 0)));

#endif
