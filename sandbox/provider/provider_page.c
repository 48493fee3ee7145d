/* provider_page.c -- The checkout page. */
#include "sandbox/provider/provider_page.h"
#include "mesh/base/time.h"
#include "sandbox/provider/provider_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct currency_row {
    const char *currency;
    int digits;
};

/* ISO 4217 has two digits for all others that a demo will meet. */
static const struct currency_row currencies[] = {
    { "JPY", 0 }, { "KRW", 0 }, { "VND", 0 }, { "CLP", 0 }, { "ISK", 0 },
    { "BHD", 3 }, { "KWD", 3 }, { "TND", 3 }, { "JOD", 3 },
};

static const char *const sentences[PAYMENT_STATUS_COUNT] = {
    "is waiting for you.",
    "was declined with this card. Try another.",
    "is being looked at by the bank.",
    "is authorized: the money is held, not taken.",
    "is paid. Thank you.",
    "was declined.",
    "has expired.",
    "was cancelled by the shop.",
};

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<title>Checkout &ndash; sandbox</title>\n<style>\n"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:#eef1f5;color:#"
    "1c2733;"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "main{background:#fff;border-radius:14px;box-shadow:0 8px 30px rgba(20,35,60,.12);"
    "padding:32px 36px;width:min(340px,80vw)}\n"
    "small{color:#67758a;display:block;overflow-wrap:anywhere}\n"
    "h1{font-size:40px;line-height:1.1;margin:14px 0 4px}h1 span{font-size:18px;color:#67758a}\n"
    "p{margin:4px 0 18px;overflow-wrap:anywhere}\n"
    ".state{border-radius:8px;padding:8px 12px;background:#eef1f5}\n"
    ".SUCCEEDED{background:#def5e5}.FAILED,.EXPIRED,.CANCELED{background:#fbe4e2}\n"
    "form{display:inline}button{font:inherit;border:0;border-radius:8px;padding:11px 22px;"
    "margin:0 8px 16px 0;cursor:pointer;background:#e4e8ee}\n"
    ".pay{background:#1d6ff2;color:#fff;font-weight:600}\n"
    "</style></head><body><main>\n"
    "<small>Sandbox provider: no money moves here</small>\n";

char *
amount_print(int64_t amount_minor, const char *currency, char text[32])
{
    int64_t unit = 1;
    int digits = 2;

    for (size_t i = 0; i < sizeof currencies / sizeof *currencies; i++) {
        if (strcmp(currencies[i].currency, currency) == 0)
            digits = currencies[i].digits;
    }
    for (int i = 0; i < digits; i++)
        unit *= 10;
    if (digits == 0)
        snprintf(text, 32, "%" PRId64, amount_minor);
    else
        snprintf(text, 32, "%" PRId64 ".%0*" PRId64, amount_minor / unit, digits,
                 amount_minor % unit);
    return text;
}

static const char *
escape(struct arena *arena, const char *text)
{
    char *escaped = arena_take(arena, strlen(text) * 6 + 1), *end = escaped;

    for (; *text != '\0'; text++) {
        const char *entity = *text == '&'    ? "&amp;"
                             : *text == '<'  ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;

        if (entity == NULL) {
            *end++ = *text;
            continue;
        }
        memcpy(end, entity, strlen(entity));
        end += strlen(entity);
    }
    return escaped;
}

/* What the payer can do: pay or decline while it is open, afterwards go back to the shop. */
static const char *
buttons(struct arena *arena, const struct payment *payment)
{
    if (payment_is_open(payment))
        return arena_print(arena,
                           "<form method=\"post\" action=\"/checkout/%s/pay\">"
                           "<button class=\"pay\">Pay</button></form>\n"
                           "<form method=\"post\" action=\"/checkout/%s/decline\">"
                           "<button>Decline this card</button></form>\n"
                           "<form method=\"post\" action=\"/checkout/%s/fail\">"
                           "<button>Decline</button></form>\n",
                           payment->id, payment->id, payment->id);
    if (payment->return_url[0] != '\0')
        return arena_print(arena, "<p><a href=\"%s\">Back to the shop</a></p>\n",
                           escape(arena, payment->return_url));
    return "";
}

char *
page_write(struct arena *arena, const struct payment *payment)
{
    char amount[32], expires[TIME_TEXT_BYTES + 1];
    const char *status = payment_status_name(payment->status);

    return arena_print(arena,
                       "%s<h1>%s <span>%s</span></h1>\n<p>%s</p>\n"
                       "<p class=\"state %s\">The payment %s</p>\n%s"
                       "<small>%s<br>until %.19s UTC<br><span id=\"status\">%s</span></small>\n"
                       "</main></body></html>\n",
                       head, amount_print(payment->booked_minor, payment->currency, amount),
                       payment->currency, escape(arena, payment->description), status,
                       sentences[payment->status], buttons(arena, payment), payment->id,
                       time_print(payment->expires_us, expires), status);
}
