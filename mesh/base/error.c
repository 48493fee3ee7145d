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

enum error
problem_recall(struct problem *problem, const char *reason, const char *text)
{
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
    snprintf(problem->text, sizeof problem->text, "%s", text);
    return error;
}

const char *
problem_reason(const struct problem *problem)
{
    return problem->error == ERR_OK ? "" : problem->reason;
}
