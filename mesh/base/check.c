#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum error
check_id(struct problem *problem, const char *field, const char *text, struct uuid *ret_id)
{
    return id_check(text, field, clock_latest_us(), problem, ret_id);
}

enum error
check_age(struct problem *problem, const char *field, struct uuid id, int64_t now_us)
{
    if (!id_is_too_old(id, now_us))
        return ERR_OK;
    if (!id_is_too_old(id, clock_earliest_us()))
        return problem_set(problem, ERR_CLOCK_OFF, field,
                           "is too old by one clock and not by another: one of them is wrong");
    return problem_set(problem, ERR_ID_TOO_OLD, field,
                       "was made more than %d days ago, longer than answers are kept",
                       ID_DAYS_KEPT);
}

enum error
check_range(struct problem *problem, const char *field, int64_t value, int64_t min, int64_t max)
{
    if (value >= min && value <= max)
        return ERR_OK;
    return problem_set(problem, ERR_BAD_REQUEST, field,
                       "must be %" PRId64 " to %" PRId64 ", not %" PRId64, min, max, value);
}

enum error
check_text(struct problem *problem, const char *field, const char *text, size_t min, size_t max)
{
    size_t bytes = strlen(text);

    if (bytes < min || bytes > max)
        return problem_set(problem, ERR_BAD_REQUEST, field, "must have %zu to %zu bytes, not %zu",
                           min, max, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "must not have control characters (byte %zu)", i);
    }
    return ERR_OK;
}

enum error
check_word(struct problem *problem, const char *field, const char *text, size_t max)
{
    size_t bytes = strlen(text);

    if (bytes < 1 || bytes > max)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must have 1 to %zu characters, not %zu", max, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] <= ' ' || text[i] > '~')
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "must be printable ASCII without spaces (character %zu)", i);
    }
    return ERR_OK;
}

/* ---- URLs (RFC 3986, appendix A) ---- */

#define UNRESERVED_AND_SUB_DELIMS TEXT_LETTERS_AND_DIGITS "-._~!$&'()*+,;="
#define HOST_CHARACTERS UNRESERVED_AND_SUB_DELIMS
#define ADDRESS_CHARACTERS "0123456789abcdefABCDEF:."
#define PATH_CHARACTERS UNRESERVED_AND_SUB_DELIMS ":@/"
#define QUERY_CHARACTERS PATH_CHARACTERS "?"

enum { PORT_DIGITS_MAX = 5 };

/* Behind all that are in the set or percent-encoded. */
static const char *
url_span(const char *text, const char *set)
{
    for (;;) {
        text += strspn(text, set);
        if (text[0] != '%' || !isxdigit((unsigned char)text[1]) ||
            !isxdigit((unsigned char)text[2]))
            return text;
        text += 3;
    }
}

/* Behind the host and its port; NULL: they are none. */
static const char *
url_host_end(const char *host)
{
    const char *end, *port;

    if (host[0] == '[') {
        end = host + 1 + strspn(host + 1, ADDRESS_CHARACTERS);
        if (end == host + 1 || *end++ != ']')
            return NULL;
    } else {
        end = url_span(host, HOST_CHARACTERS);
    }
    if (end == host || *end != ':')
        return end == host ? NULL : end;
    port = end + 1;
    end = port + strspn(port, TEXT_DIGITS);
    return end == port || end - port > PORT_DIGITS_MAX ? NULL : end;
}

enum error
check_url(struct problem *problem, const char *field, const char *text, size_t max)
{
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;
    const char *end;

    if (check_word(problem, field, text, max) != ERR_OK)
        return problem->error;
    end = scheme == 0 ? NULL : url_host_end(text + scheme);
    if (end == NULL || *end == '@')
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be a URL that begins with http:// or https:// and a host");
    if (*end == '/')
        end = url_span(end, PATH_CHARACTERS);
    if (*end == '?')
        end = url_span(end + 1, QUERY_CHARACTERS);
    if (*end == '#')
        end = url_span(end + 1, QUERY_CHARACTERS);
    if (*end == '\0')
        return ERR_OK;
    return problem_set(problem, ERR_BAD_REQUEST, field,
                       "must be a URL as RFC 3986 writes it: character %zu has no place there "
                       "unless it is percent-encoded",
                       (size_t)(end - text));
}

enum error
check_currency(struct problem *problem, const char *field, const char *text)
{
    bool is_fine = strlen(text) == 3;

    for (int i = 0; is_fine && i < 3; i++)
        is_fine = text[i] >= 'A' && text[i] <= 'Z';
    if (is_fine)
        return ERR_OK;
    return problem_set(problem, ERR_BAD_REQUEST, field,
                       "must be three upper-case letters (ISO 4217), such as JPY");
}

enum error
check_customer(struct problem *problem, const char *field, const char *text)
{
    enum error error = check_text(problem, field, text, 1, CUSTOMER_ID_BYTES_MAX);

    if (error == ERR_OK && strchr(text, '/') != NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "must not have a '/'");
    return error;
}

enum error
check_page_size(struct problem *problem, int32_t asked, int32_t *ret_size)
{
    enum error error = check_range(problem, "page_size", asked, 0, PAGE_SIZE_MAX);

    if (error == ERR_OK)
        *ret_size = asked == 0 ? PAGE_SIZE_DEFAULT : asked;
    return error;
}

enum error
check_refuse_token(struct problem *problem)
{
    return problem_set(problem, ERR_BAD_REQUEST, "page_token",
                       "must be the next_page_token of the page before");
}

enum error
check_page_id(struct problem *problem, const char *token, struct uuid *ret_id)
{
    memset(ret_id, 0, sizeof *ret_id);
    if (token[0] != '\0' && !uuid_parse(token, strlen(token), ret_id))
        return check_refuse_token(problem);
    return ERR_OK;
}

enum error
check_page_before(struct problem *problem, const char *token, int32_t asked, struct uuid *ret_id,
                  int32_t *ret_size)
{
    if (check_page_id(problem, token, ret_id) != ERR_OK)
        return problem->error;
    if (uuid_is_nil(*ret_id)) /* version and variant bits keep every id below this */
        memset(ret_id, 0xff, sizeof *ret_id);
    return check_page_size(problem, asked, ret_size);
}
