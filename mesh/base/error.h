/* error.h -- What went wrong, in words for programs and for people.
 *
 * Three kinds, three treatments. A refusal is a result: decided in order, stored, repeated for the
 * same id. Trouble is returned up to whoever can wait. A bug is asserted, also in release builds.
 *
 * Thread    Everything here is plain data.
 * Memory    A struct problem holds its texts itself and may be copied.
 */
#ifndef MESH_BASE_ERROR_H
#define MESH_BASE_ERROR_H

#include <stdbool.h>

enum error {
#define ERROR(name, grpc, http, kind, text) ERR_##name,
#include "mesh/base/error.def"
    ERR_COUNT
};

enum error_kind {
    ERROR_KIND_REFUSAL,
    ERROR_KIND_NOT_DONE,
    ERROR_KIND_UNKNOWN,
};

/* The codes of google/rpc/code.proto; the numbers are gRPC's. */
enum wire_code {
    WIRE_OK = 0,
    WIRE_CANCELLED = 1,
    WIRE_UNKNOWN = 2,
    WIRE_INVALID_ARGUMENT = 3,
    WIRE_DEADLINE_EXCEEDED = 4,
    WIRE_NOT_FOUND = 5,
    WIRE_ALREADY_EXISTS = 6,
    WIRE_PERMISSION_DENIED = 7,
    WIRE_RESOURCE_EXHAUSTED = 8,
    WIRE_FAILED_PRECONDITION = 9,
    WIRE_ABORTED = 10,
    WIRE_OUT_OF_RANGE = 11,
    WIRE_UNIMPLEMENTED = 12,
    WIRE_INTERNAL = 13,
    WIRE_UNAVAILABLE = 14,
    WIRE_DATA_LOSS = 15,
    WIRE_UNAUTHENTICATED = 16,
};
enum { WIRE_CODES = 17 };

const char *error_name(enum error error); /* "NOT_FOUND" */
const char *wire_code_name(int code);     /* "INVALID_ARGUMENT"; what is none of them: "UNKNOWN" */
const char *error_text(enum error error);
enum wire_code error_wire_code(enum error error);
int error_http_status(enum error error);
enum error_kind error_kind(enum error error);

/* One refusal or trouble, with enough in it for the caller to mend the request. */
struct problem {
    enum error error;
    bool is_stored; /* the recorded answer of this id, not a passing opinion */
    char reason
        [32]; /* ErrorInfo.reason, UPPER_SNAKE; the error's name unless a domain named its own */
    char field[64]; /* "lines[2].quantity", or "" */
    char text[192]; /* one sentence: the rule that was broken */
};

/* Fills problem and returns error, so that a check can end with `return problem_set(...)`.
 * field may be NULL. */
enum error problem_set(struct problem *problem, enum error error, const char *field,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a rule of a domain: ERR_REFUSED, with the domain's reason. */
enum error problem_refuse(struct problem *problem, const char *reason, const char *field,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

/* What is recorded of a decision: "" and "" for OK. The detail is the text, with the field before it. */
enum { PROBLEM_DETAIL_BYTES_MAX = 64 + 192 };
const char *problem_reason(const struct problem *problem);
const char *problem_detail(const struct problem *problem, char detail[PROBLEM_DETAIL_BYTES_MAX]);

/* A recorded decision read back: "" is OK; an error's name is that error; anything else ERR_REFUSED. */
enum error problem_recall(struct problem *problem, const char *reason, const char *detail);

#endif
