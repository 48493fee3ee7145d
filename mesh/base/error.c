#include "mesh/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum wire_code wire;
    int http;
    enum error_kind kind;
    const char *text;
} errors[] = {
#define ERROR(name, grpc, http, kind, text) { #name, WIRE_##grpc, http, ERROR_KIND_##kind, text },
#include "mesh/base/error.def"
};

const char *
error_name(enum error error)
{
    return errors[error].name;
}

const char *
error_text(enum error error)
{
    return errors[error].text;
}

const char *
wire_code_name(int code)
{
    static const char *const names[WIRE_CODES] = {
        [WIRE_OK] = "OK",
        [WIRE_CANCELLED] = "CANCELLED",
        [WIRE_UNKNOWN] = "UNKNOWN",
        [WIRE_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [WIRE_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [WIRE_NOT_FOUND] = "NOT_FOUND",
        [WIRE_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [WIRE_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [WIRE_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [WIRE_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [WIRE_ABORTED] = "ABORTED",
        [WIRE_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [WIRE_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [WIRE_INTERNAL] = "INTERNAL",
        [WIRE_UNAVAILABLE] = "UNAVAILABLE",
        [WIRE_DATA_LOSS] = "DATA_LOSS",
        [WIRE_UNAUTHENTICATED] = "UNAUTHENTICATED",
    };

    return code < 0 || code >= WIRE_CODES ? names[WIRE_UNKNOWN] : names[code];
}

enum wire_code
error_wire_code(enum error error)
{
    return errors[error].wire;
}

int
error_http_status(enum error error)
{
    return errors[error].http;
}

enum error_kind
error_kind(enum error error)
{
    return errors[error].kind;
}

static void
fill(struct problem *problem, enum error error, const char *reason, const char *field,
     const char *format, va_list arguments)
{
    memset(problem, 0, sizeof *problem);
    problem->error = error;
    snprintf(problem->reason, sizeof problem->reason, "%s", reason);
    snprintf(problem->field, sizeof problem->field, "%s", field == NULL ? "" : field);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
}

enum error
problem_set(struct problem *problem, enum error error, const char *field, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fill(problem, error, errors[error].name, field, format, arguments);
    va_end(arguments);
    return error;
}

enum error
problem_refuse(struct problem *problem, const char *reason, const char *field, const char *format,
               ...)
{
    va_list arguments;

    va_start(arguments, format);
    fill(problem, ERR_REFUSED, reason, field, format, arguments);
    va_end(arguments);
    return ERR_REFUSED;
}

/* Between field and text of a detail. No field has it; a text may, from a caller's bytes, and then it
 * stands behind one, so that the first of a detail is always this one. */
static const char separator = '\x1f';

const char *
problem_detail(const struct problem *problem, char detail[PROBLEM_DETAIL_BYTES_MAX])
{
    _Static_assert(sizeof problem->field + sizeof problem->text <= PROBLEM_DETAIL_BYTES_MAX,
                   "both fit, one end of a string makes room for the separator");
    detail[0] = '\0';
    if (problem->error == ERR_OK)
        return detail;
    if (problem->field[0] == '\0' && strchr(problem->text, separator) == NULL)
        snprintf(detail, PROBLEM_DETAIL_BYTES_MAX, "%s", problem->text);
    else
        snprintf(detail, PROBLEM_DETAIL_BYTES_MAX, "%s%c%s", problem->field, separator,
                 problem->text);
    return detail;
}

enum error
problem_recall(struct problem *problem, const char *reason, const char *detail)
{
    const char *end = strchr(detail, separator);
    enum error error = ERR_REFUSED;

    memset(problem, 0, sizeof *problem);
    if (reason[0] == '\0')
        return ERR_OK;
    for (int i = 1; i < ERR_COUNT; i++) {
        if (strcmp(errors[i].name, reason) == 0)
            error = (enum error)i;
    }
    problem->error = error;
    problem->is_stored = true;
    snprintf(problem->reason, sizeof problem->reason, "%s", reason);
    if (end != NULL)
        snprintf(problem->field, sizeof problem->field, "%.*s", (int)(end - detail), detail);
    snprintf(problem->text, sizeof problem->text, "%s", end == NULL ? detail : end + 1);
    return error;
}

const char *
problem_reason(const struct problem *problem)
{
    return problem->error == ERR_OK ? "" : problem->reason;
}
