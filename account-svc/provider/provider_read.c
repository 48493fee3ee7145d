/* provider_read.c -- What adapters read of a provider's answers and webhooks: texts, amounts, words. */
#include "account-svc/provider/provider.h"
#include "mesh/base/terminal.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- answers ---- */

/* 202 and 204 may say no more than that; the trouble of a server comes as a page. A 404 that is none of the
 * provider's own is of something else that stands at its address. */
static bool
must_be_readable(int status)
{
    return status == 404 || (status >= 200 && status < 300 && status != 202 && status != 204);
}

json_t *
provider_answer_pick(const struct provider_answer *answer, const struct json_want *wanted,
                     struct arena *arena, struct observation *observation)
{
    struct problem problem = { 0 };
    json_t *json = NULL;

    if (json_pick(answer->body, answer->body_bytes, wanted, "answer", &problem, &json) == ERR_OK)
        return json;
    if (answer->status >= 300 && answer->status < 400)
        observation->unreadable = "it is a redirect, and none is followed: is base_url right?";
    else if (must_be_readable(answer->status))
        observation->unreadable = arena_copy(arena, problem.text, strlen(problem.text));
    return NULL;
}

enum outcome
provider_unreadable(struct observation *observation, const char *why)
{
    observation->unreadable = why;
    return OUTCOME_UNKNOWN;
}

const char *
provider_clean(const char *text, struct arena *arena)
{
    char *clean = arena_take(arena, PROVIDER_WORDS_BYTES_MAX + 1);
    size_t bytes = 0;

    if (text == NULL)
        return NULL;
    while (*text != '\0' && bytes < PROVIDER_WORDS_BYTES_MAX) {
        size_t hidden = terminal_hidden_bytes(text);

        if (hidden > 0)
            clean[bytes++] = ' ';
        else
            clean[bytes++] = (char)(*text == '"' ? '\'' : *text == '\\' ? '/' : *text);
        text += hidden > 0 ? hidden : 1;
    }
    /* No character is cut in two. */
    while (*text != '\0' && bytes > 0 && ((unsigned char)*text & 0xc0) == 0x80)
        text--, bytes--;
    clean[bytes] = '\0';
    return clean;
}

/* ---- members ---- */

const char *
provider_header_find(const struct provider_webhook *webhook, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < webhook->header_count; i++) {
        if (strcasecmp(webhook->headers[i].name, name) != 0)
            continue;
        if (value != NULL)
            return NULL;
        value = webhook->headers[i].value;
    }
    return value;
}

void
provider_status(const struct provider_adapter *adapter, const char *word,
                struct observation *observation)
{
    const struct status_word *row = word == NULL ? NULL : status_find(adapter->words, word);

    if (row == NULL)
        return;
    observation->observed = row->observed;
    observation->is_paid_back = row->is_paid_back;
}

const char *
provider_text(const json_t *object, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return NULL;
    return arena_copy(arena, json_string_value(value), json_string_length(value));
}

/* Digits after the point, where ISO 4217 does not say two. */
static int
currency_digits(const char *currency)
{
    static const struct {
        const char *currencies;
        int digits;
    } odd[] = {
        { "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 0 },
        { "BHD IQD JOD KWD LYD OMR TND", 3 },
    };

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        if (strlen(currency) == 3 && strstr(odd[i].currencies, currency) != NULL)
            return odd[i].digits;
    }
    return 2;
}

/* Decimal text to minor units, digit by digit. */
static bool
amount_read(const char *text, int digits, int64_t *ret_minor)
{
    int64_t minor = 0;
    int after = -1; /* digits seen after the point; -1: no point yet */

    if (!isdigit((unsigned char)text[0]))
        return false;
    for (; *text != '\0'; text++) {
        if (*text == '.' && after < 0 && isdigit((unsigned char)text[1])) {
            after = 0;
            continue;
        }
        if (!isdigit((unsigned char)*text) || (after >= 0 && ++after > digits))
            return false;
        minor = minor * 10 + (*text - '0');
        if (minor > INT64_C(1000000000000000))
            return false;
    }
    for (int i = after < 0 ? 0 : after; i < digits; i++)
        minor *= 10;
    *ret_minor = minor;
    return minor <= INT64_C(1000000000000000);
}

bool
provider_amount(const json_t *value, const char *currency, int64_t *ret_minor)
{
    if (json_is_string(value))
        return amount_read(json_string_value(value), currency_digits(currency), ret_minor);
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > INT64_C(1000000000000000))
        return false;
    *ret_minor = json_integer_value(value);
    return true;
}

/* 404 of a query is an answer of its own. Time-outs, conflicts, throttling and the provider's own
 * trouble say nothing of what happened; any other 4xx is a refusal. */
enum outcome
provider_status_outcome(int status)
{
    if (status >= 200 && status < 300)
        return OUTCOME_KNOWN;
    if (status == 404)
        return OUTCOME_NOT_FOUND;
    if (status == 401 || status == 403 || status == 408 || status == 409 || status == 425 ||
        status == 429)
        return OUTCOME_UNKNOWN;
    return status >= 400 && status < 500 ? OUTCOME_REFUSED : OUTCOME_UNKNOWN;
}
