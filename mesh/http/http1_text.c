/* http1_text.c -- The texts of a request: targets, escapes, lists, look-ups; and status names. */
#include "mesh/base/text.h"
#include "mesh/base/utf8.h"
#include "mesh/http/http1.h"
#include "mesh/http/http1_inner.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

const char *
http_header_find(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    }
    return "";
}

/* UTF-8 without control characters. */
static bool
is_text(const char *text, size_t bytes)
{
    const char *end = text + bytes;

    while (text < end) {
        size_t count = utf8_bytes(text, (size_t)(end - text));

        if (count == 0 || (unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
        text += count;
    }
    return true;
}

static int
hex_value(char digit)
{
    return text_hex_digit((char)tolower((unsigned char)digit));
}

/* Undoes %-escapes. False when one is broken, or when what comes out has control characters or is
 * no UTF-8. plus_is_space is the rule of query strings. ret_text has room for bytes + 1. */
static bool
decode_escapes(const char *text, size_t bytes, bool plus_is_space, char *ret_text)
{
    size_t count = 0;

    for (size_t i = 0; i < bytes; i++) {
        char byte = text[i];

        if (byte == '%') {
            int high = bytes - i > 2 ? hex_value(text[i + 1]) : -1;
            int low = high >= 0 ? hex_value(text[i + 2]) : -1;

            if (low < 0)
                return false;
            byte = (char)(high * 16 + low);
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        ret_text[count++] = byte;
    }
    ret_text[count] = '\0';
    return is_text(ret_text, count);
}

/* llhttp knows more methods, versions and even protocols than are wanted here. */
int
http1_line_split(char *line, size_t method_bytes, struct http_request *request, char **ret_target,
                 const char **ret_because)
{
    static const char *const methods[] = { "GET",    "HEAD",    "POST",  "PUT",
                                           "DELETE", "OPTIONS", "PATCH", NULL };
    char *version = strrchr(line, ' ');
    size_t i = 0;

    *ret_because = HTTP1_LINE_RULE;
    if (method_bytes == 0 || version <= line + method_bytes + 1 ||
        strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != method_bytes)
        return 400;
    *version++ = '\0';
    line[method_bytes] = '\0';
    request->method = line;
    *ret_target = line + method_bytes + 1;
    if (strlen(version) != HTTP1_VERSION_BYTES || strncmp(version, "HTTP/", 5) != 0)
        return 400;
    request->is_http10 = strcmp(version, "HTTP/1.0") == 0;
    *ret_because = "HTTP/1.1 and HTTP/1.0 are spoken here";
    if (!request->is_http10 && strcmp(version, "HTTP/1.1") != 0)
        return 505;
    *ret_because = "no such method is known here";
    while (methods[i] != NULL && strcmp(methods[i], line) != 0)
        i++;
    return methods[i] == NULL ? 405 : 200;
}

/* An absolute target is the same request as its path: a proxy may send it (RFC 9112, 3.2.2). */
static char *
authority_skip(char *target)
{
    static const char *const schemes[] = { "http://", "https://" };

    for (size_t i = 0; i < 2; i++) {
        size_t bytes = strlen(schemes[i]);

        if (strncasecmp(target, schemes[i], bytes) == 0 && strcspn(target + bytes, "/?") > 0)
            return target + bytes + strcspn(target + bytes, "/?");
    }
    return target;
}

/* An escaped slash would be a boundary to some who route by the path and a letter to others. */
static bool
has_escaped_slash(const char *path)
{
    const char *at = path;

    while ((at = strchr(at, '%')) != NULL) {
        if (at[1] == '2' && (at[2] == 'f' || at[2] == 'F'))
            return true;
        at++;
    }
    return false;
}

const char *
http1_target_split(char *target, struct http_request *request, struct arena *arena)
{
    char *path, *query, *rest = target;

    for (const char *at = target; *at != '\0'; at++) {
        if (*at <= ' ' || *at >= 0x7f || *at == '#')
            return "the target has a character that must be escaped";
    }
    request->query = "";
    request->path = "*";
    if (strcmp(target, "*") == 0)
        return strcmp(request->method, "OPTIONS") == 0 ? NULL : "only OPTIONS has the target *";
    rest = authority_skip(target);
    query = strchr(rest, '?');
    if (query != NULL) {
        *query = '\0';
        request->query = query + 1;
    }
    if (rest[0] != '/' && (rest == target || rest[0] != '\0'))
        return "the target must begin with /";
    if (has_escaped_slash(rest))
        return "the path has an escaped slash";
    path = arena_take(arena, strlen(rest) + 1);
    if (!decode_escapes(rest, strlen(rest), false, path))
        return "the path is not well escaped UTF-8";
    request->path = path[0] == '\0' ? "/" : path; /* http://host has the path / */
    return NULL;
}

/* Is token one of the comma-separated tokens of list? Without regard to case. */
static bool
list_has(const char *list, const char *token)
{
    size_t bytes = strlen(token);

    while (*list != '\0') {
        size_t end;

        list += strspn(list, ", \t");
        end = strcspn(list, ",");
        if (end >= bytes && strncasecmp(list, token, bytes) == 0 &&
            strspn(list + bytes, " \t") == end - bytes)
            return true;
        list += end;
    }
    return false;
}

const char *
http1_header_only(const struct http_request *request, const char *name, size_t *ret_count)
{
    const char *value = "";

    *ret_count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, name) == 0) {
            value = request->headers[i].value;
            (*ret_count)++;
        }
    }
    return value;
}

bool
http1_connection_has(const struct http_request *request, const char *token)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, "connection") == 0 &&
            list_has(request->headers[i].value, token))
            return true;
    }
    return false;
}

bool
http_query_next(const char **at, struct arena *arena, struct http_parameter *ret_parameter)
{
    size_t bytes, name_bytes, skip;
    char *value;

    *at += strspn(*at, "&");
    if (**at == '\0')
        return false;
    bytes = strcspn(*at, "&");
    name_bytes = strcspn(*at, "=&");
    skip = name_bytes + (name_bytes < bytes);
    value = arena_take(arena, bytes - skip + 1);
    ret_parameter->name = arena_copy(arena, *at, name_bytes);
    ret_parameter->value = decode_escapes(*at + skip, bytes - skip, true, value) ? value : NULL;
    *at += bytes;
    return true;
}

const char *
http_query_find(const struct http_request *request, const char *name, struct arena *arena)
{
    const char *at = request->query;
    struct http_parameter parameter;

    while (http_query_next(&at, arena, &parameter)) {
        if (strcmp(parameter.name, name) == 0)
            return parameter.value;
    }
    return NULL;
}

const char *
http_status_text(int status)
{
    /* clang-format off */
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        { 100, "Continue" },            { 101, "Switching Protocols" },
        { 200, "OK" },                  { 201, "Created" },
        { 202, "Accepted" },            { 204, "No Content" },
        { 302, "Found" },               { 303, "See Other" },
        { 304, "Not Modified" },        { 307, "Temporary Redirect" },
        { 400, "Bad Request" },         { 401, "Unauthorized" },
        { 402, "Payment Required" },    { 403, "Forbidden" },
        { 404, "Not Found" },           { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },      { 408, "Request Timeout" },
        { 409, "Conflict" },            { 410, "Gone" },
        { 411, "Length Required" },     { 412, "Precondition Failed" },
        { 413, "Content Too Large" },   { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" }, { 417, "Expectation Failed" },
        { 421, "Misdirected Request" }, { 422, "Unprocessable Content" },
        { 425, "Too Early" },           { 426, "Upgrade Required" },
        { 428, "Precondition Required" }, { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" }, { 499, "Client Closed Request" },
        { 500, "Internal Server Error" }, { 501, "Not Implemented" },
        { 502, "Bad Gateway" },         { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },     { 505, "HTTP Version Not Supported" },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status)
            return rows[i].text;
    }
    return "Unknown";
}
