/* news_row.c -- News as one line of the journal, and back. */
#include "alerts/news.h"
#include "alerts/row_text.h"

#include <assert.h>

/* A letter for each kind, as a line begins. */
static const char kinds[] = { [NEWS_ORDER] = 'o', [NEWS_PAYMENT] = 'p' };

size_t
news_print(const struct news *news, char text[NEWS_LINE_BYTES_MAX])
{
    bool is_order = news->kind == NEWS_ORDER;
    char *at = text;

    assert(news->kind != NEWS_HEARTBEAT);
    *at++ = kinds[news->kind];
    at = row_put_id(at, news->order_id);
    at = row_put_id(at, news->event_id);
    at = row_put_int(at, news->version);
    at = row_put_int(at, news->word);
    at = row_put_int(at, news->place);
    at = row_put_int(at, news->time_us);
    at = row_put_int(at, is_order ? news->is_free : news->is_back);
    at = row_put_int(at, is_order ? news->expires_at_us : news->occurred_at_us);
    at = row_put_id(at, is_order ? news->paid_by : news->payment_id);
    at = row_put_text(at, news->trace);
    assert(at - text < NEWS_LINE_BYTES_MAX);
    return (size_t)(at - text);
}

bool
news_parse(const char *text, size_t bytes, struct news *ret_news)
{
    struct row_reader reader = { .at = text + 1, .end = text + bytes, .is_good = bytes > 1 };
    struct news news = { .kind = bytes > 0 && text[0] == kinds[NEWS_PAYMENT] ? NEWS_PAYMENT
                                                                             : NEWS_ORDER };
    bool is_order = news.kind == NEWS_ORDER;

    if (bytes < 2 || text[0] != kinds[news.kind])
        return false;
    news.order_id = row_take_id(&reader);
    news.event_id = row_take_id(&reader);
    news.version = (int32_t)row_take_int(&reader, 1, INT32_MAX);
    news.word = (uint8_t)row_take_int(&reader, is_order ? WORD_ORDERS_BEGIN : WORD_PAYMENTS_BEGIN,
                                      is_order ? WORD_PAYMENTS_BEGIN - 1 : WORD_COUNT - 1);
    news.place = row_take_int(&reader, 0, INT64_MAX);
    news.time_us = row_take_int(&reader, 1, INT64_MAX);
    *(is_order ? &news.is_free : &news.is_back) = row_take_int(&reader, 0, 1) == 1;
    *(is_order ? &news.expires_at_us : &news.occurred_at_us) = row_take_int(&reader, 0, INT64_MAX);
    *(is_order ? &news.paid_by : &news.payment_id) = row_take_id(&reader);
    row_take_text(&reader, news.trace, sizeof news.trace);
    if (!row_is_over(&reader))
        return false;
    *ret_news = news;
    return true;
}
