/* read.c -- Requests by the rules that all handlers have in common: each ends in what was asked for, or in 400. */
#include "mesh/http/read.h"
#include "mesh/base/check.h"
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARAMETERS_MAX = 8, /* that a route knows */
    NAME_SHOWN_BYTES_MAX = 64,
};

void
http_refuse(struct http_exchange *exchange, const char *pointer, const char *detail)
{
    http_answer_problem(
        exchange, &(struct http_problem){
                      .status = 400, .code = "BAD_REQUEST", .detail = detail, .pointer = pointer });
}

/* ---- bodies ---- */

bool
http_read_body(struct http_exchange *exchange, const struct body_field *fields, void *values)
{
    const struct http_request *request = exchange->request;
    struct body_problem problem;

    if (body_read(request->body, request->body_bytes, fields, values, exchange->arena, &problem))
        return true;
    http_refuse(exchange, problem.pointer, problem.detail);
    return false;
}

bool
http_ignore_body(struct http_exchange *exchange)
{
    const struct http_request *request = exchange->request;
    struct problem problem;
    bool is_object;
    json_t *json;

    if (request->body_bytes == 0)
        return true;
    if (json_read((const char *)request->body, request->body_bytes, "body", &problem, &json) !=
        ERR_OK) {
        http_refuse(exchange, "", arena_print(exchange->arena, "%s", problem.text));
        return false;
    }
    is_object = json_is_object(json);
    json_decref(json);
    if (!is_object)
        http_refuse(exchange, "", "must be an object, or no body at all");
    return is_object;
}

/* ---- Idempotency-Key ---- */

/* What stands between the quotes of a string of RFC 8941. NULL: it is none, with the rule. */
static const char *
key_unquote(const char *header, size_t bytes, struct arena *arena, const char **ret_because)
{
    char *key = arena_take(arena, bytes + 1);
    size_t count = 0;

    for (size_t i = 1; i + 1 < bytes; i++) {
        if (header[i] == '"') {
            *ret_because = "ends at its second quote; what follows is not understood";
            return NULL;
        }
        if (header[i] == '\\' && (i + 2 >= bytes || strchr("\"\\", header[++i]) == NULL)) {
            *ret_because = "a backslash may only stand before a quote or a backslash";
            return NULL;
        }
        key[count++] = header[i];
    }
    return key;
}

const char *
idempotency_key_read(const char *header, struct arena *arena, const char **ret_because)
{
    size_t bytes = strlen(header);
    const char *key = header;

    if (header[0] == '"' && (bytes < 2 || header[bytes - 1] != '"')) {
        *ret_because = "begins with a quote and does not end with one";
        return NULL;
    }
    if (header[0] == '"')
        key = key_unquote(header, bytes, arena, ret_because);
    if (key == NULL)
        return NULL;
    bytes = strlen(key);
    if (bytes == 0 || bytes > IDEMPOTENCY_KEY_BYTES_MAX) {
        *ret_because = bytes == 0 ? "is empty" : "has more than 255 characters";
        return NULL;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (key[i] < ' ' || key[i] > '~') {
            *ret_because = "has characters that are not printable ASCII";
            return NULL;
        }
    }
    return arena_copy(arena, key, bytes);
}

const char *
http_read_key(struct http_exchange *exchange)
{
    const char *header = http_header_find(exchange->request, "idempotency-key");
    const char *because = "is required here", *key = NULL;

    if (header[0] != '\0')
        key = idempotency_key_read(header, exchange->arena, &because);
    if (key == NULL)
        http_answer_problem(
            exchange,
            &(struct http_problem){
                .status = 400,
                .code = header[0] == '\0' ? "IDEMPOTENCY_KEY_MISSING" : "BAD_REQUEST",
                .detail = arena_print(exchange->arena, "the header Idempotency-Key %s", because) });
    return key;
}

/* ---- parameters ---- */

/* NULL: there is none. */
static const char *
parameter_fault(const struct http_parameter *parameter, const char *const *names,
                const char *const *seen, size_t seen_count)
{
    while (*names != NULL && strcmp(*names, parameter->name) != 0)
        names++;
    if (*names == NULL)
        return "is not known here";
    if (parameter->value == NULL)
        return "is not well escaped UTF-8";
    if (parameter->value[0] == '\0')
        return "has no value";
    for (size_t i = 0; i < seen_count; i++) {
        if (strcmp(seen[i], parameter->name) == 0)
            return "is there twice";
    }
    return NULL;
}

bool
http_check_query(struct http_exchange *exchange, const char *const *names)
{
    const char *at = exchange->request->query, *seen[PARAMETERS_MAX], *fault;
    struct http_parameter parameter;
    size_t count = 0; /* what got so far is known and there once */

    while (http_query_next(&at, exchange->arena, &parameter)) {
        fault = parameter_fault(&parameter, names, seen, count);
        if (fault != NULL) {
            http_refuse(exchange, NULL,
                        arena_print(exchange->arena, "the parameter %.*s %s", NAME_SHOWN_BYTES_MAX,
                                    parameter.name, fault));
            return false;
        }
        assert(count < PARAMETERS_MAX);
        seen[count++] = parameter.name;
    }
    return true;
}

const char *
http_read_query(struct http_exchange *exchange, const char *name)
{
    const char *value = http_query_find(exchange->request, name, exchange->arena);

    return value == NULL ? "" : value;
}

bool
http_read_page_size(struct http_exchange *exchange, int32_t *ret_size)
{
    const char *text = http_read_query(exchange, "pageSize");
    int64_t size = 0;

    if (text[0] == '\0' || text_read_int(text, 1, PAGE_SIZE_MAX, &size)) {
        *ret_size = (int32_t)size;
        return true;
    }
    http_refuse(exchange, NULL, "the parameter pageSize must be 1 to 1000");
    return false;
}
