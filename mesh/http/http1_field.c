/* http1_field.c -- Fields that stand in a head several times (RFC 9110, 5.3). Those that are lists become one, with commas; of
 * those that say one thing a second one is refused: a proxy before us may have read the other. Host, Content-Length,
 * Transfer-Encoding, Expect and Connection are http1.c's, and a field that is not in this table is not read at all. */
#include "mesh/http/http1_inner.h"

#include <string.h>

/* clang-format off */
static const struct {
    const char *name, *rule; /* what a second one breaks; NULL: it is a list */
} fields[] = {
    { "accept",            NULL },
    { "accept-encoding",   NULL },
    { "accept-language",   NULL },
    { "content-encoding",  NULL },
    { "if-none-match",     NULL },
    { "forwarded",         NULL },
    { "x-forwarded-for",   NULL },
    { "authorization",     "there are two Authorization fields, and only one may be there" },
    { "content-type",      "there are two Content-Type fields, and only one may be there" },
    { "idempotency-key",   "there are two Idempotency-Key fields, and only one may be there" },
    { "last-event-id",     "there are two Last-Event-ID fields, and only one may be there" },
    { "origin",            "there are two Origin fields, and only one may be there" },
    { "webhook-id",        "there are two Webhook-Id fields, and only one may be there" },
    { "webhook-signature", "there are two Webhook-Signature fields, and only one may be there" },
    { "webhook-timestamp", "there are two Webhook-Timestamp fields, and only one may be there" },
};
/* clang-format on */

enum { FIELDS = sizeof fields / sizeof fields[0] };

static size_t
field_find(const char *name)
{
    size_t i = 0;

    while (i < FIELDS && strcmp(fields[i].name, name) != 0)
        i++;
    return i;
}

/* The second one's elements stand behind the first one's; an empty one adds none. */
static void
field_join(struct http_header *first, const struct http_header *second, struct arena *arena)
{
    if (first->value[0] == '\0')
        first->value = second->value;
    else if (second->value[0] != '\0')
        first->value = arena_print(arena, "%s, %s", first->value, second->value);
}

const char *
http1_fields_join(struct http_request *request, struct arena *arena)
{
    struct http_header *first[FIELDS] = { NULL };
    size_t kept = 0;

    for (size_t i = 0; i < request->header_count; i++) {
        struct http_header *header = &request->headers[i];
        size_t field = field_find(header->name);

        if (field < FIELDS && first[field] != NULL) {
            if (fields[field].rule != NULL)
                return fields[field].rule;
            field_join(first[field], header, arena);
            continue;
        }
        request->headers[kept] = *header;
        if (field < FIELDS)
            first[field] = &request->headers[kept];
        kept++;
    }
    request->header_count = kept;
    return NULL;
}
