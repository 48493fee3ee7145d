/* news_word.c -- The words of statuses, and what they mean. */
#include "alerts/news.h"

#include <assert.h>
#include <string.h>

enum meaning { MEANS_OPEN, MEANS_FAILURE, MEANS_SUCCESS };

/* clang-format off */
static const struct {
    const char *text;
    enum meaning meaning; /* of a payment's */
} words[WORD_COUNT] = {
    [WORD_NONE]               = { "NONE",            MEANS_OPEN },
    [WORD_PENDING]            = { "PENDING",         MEANS_OPEN },
    [WORD_WAITING_PAYMENT]    = { "WAITING_PAYMENT", MEANS_OPEN },
    [WORD_PAID]               = { "PAID",            MEANS_OPEN },
    [WORD_FAILED]             = { "FAILED",          MEANS_OPEN },
    [WORD_PAYMENT_CREATED]    = { "CREATED",         MEANS_OPEN },
    [WORD_PAYMENT_PENDING]    = { "PENDING",         MEANS_OPEN },
    [WORD_PAYMENT_AUTHORIZED] = { "AUTHORIZED",      MEANS_OPEN },
    [WORD_PAYMENT_FAILED]     = { "FAILED",          MEANS_FAILURE },
    [WORD_PAYMENT_EXPIRED]    = { "EXPIRED",         MEANS_FAILURE },
    [WORD_PAYMENT_CANCELED]   = { "CANCELED",        MEANS_FAILURE },
    [WORD_PAYMENT_CANCELLED]  = { "CANCELLED",       MEANS_FAILURE },
    [WORD_PAYMENT_SUCCEEDED]  = { "SUCCEEDED",       MEANS_SUCCESS },
    [WORD_PAYMENT_SUCCESS]    = { "SUCCESS",         MEANS_SUCCESS },
    [WORD_PAYMENT_COMPLETED]  = { "COMPLETED",       MEANS_SUCCESS },
    [WORD_PAYMENT_CAPTURED]   = { "CAPTURED",        MEANS_SUCCESS },
    [WORD_PAYMENT_REFUNDED]   = { "REFUNDED",        MEANS_SUCCESS }, /* it was paid before */
};
/* clang-format on */

const char *
news_word_text(uint8_t word)
{
    assert(word < WORD_COUNT);
    return words[word].text;
}

bool
word_is_success(uint8_t word)
{
    return words[word].meaning == MEANS_SUCCESS;
}

bool
word_is_failure(uint8_t word)
{
    return words[word].meaning == MEANS_FAILURE;
}

uint8_t
news_word_find(enum news_kind kind, const char *text, size_t bytes)
{
    uint8_t word = kind == NEWS_ORDER ? WORD_ORDERS_BEGIN : WORD_PAYMENTS_BEGIN;
    uint8_t end = kind == NEWS_ORDER ? WORD_PAYMENTS_BEGIN : WORD_COUNT;

    for (; word < end; word++) {
        if (strlen(words[word].text) == bytes && memcmp(words[word].text, text, bytes) == 0)
            return word;
    }
    return WORD_NONE;
}
