#include "account-svc/provider/provider_source.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPED_BITS = 96 }; /* of ::ffff:0:0/96, before an IPv4 address */

static bool
address_read(const char *text, unsigned char bytes[16], bool *ret_is_v4)
{
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

    memcpy(bytes, mapped, sizeof mapped);
    *ret_is_v4 = inet_pton(AF_INET, text, bytes + sizeof mapped) == 1;
    return *ret_is_v4 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool
is_in(const struct source_range *range, const unsigned char bytes[16])
{
    int whole = range->bits / 8, rest = range->bits % 8;

    return memcmp(range->bytes, bytes, (size_t)whole) == 0 &&
           (rest == 0 || (range->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0);
}

/* What follows the bits that count must be 0: 10.1.2.3/8 is more likely a slip than a wish. */
static bool
is_clean(const struct source_range *range)
{
    for (int bit = range->bits; bit < 128; bit++) {
        if ((range->bytes[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return false;
    }
    return true;
}

bool
source_range_read(const char *text, struct source_range *ret_range)
{
    struct source_range range = { .bits = 128 };
    size_t bytes = strcspn(text, "/");
    char address[SOURCE_TEXT_BYTES];
    bool is_v4;

    if (bytes >= sizeof address)
        return false;
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    if (!address_read(address, range.bytes, &is_v4))
        return false;
    if (text[bytes] == '/') {
        const char *digits = text + bytes + 1;
        size_t count = strspn(digits, "0123456789");

        if (count < 1 || count > 3 || digits[count] != '\0')
            return false;
        range.bits = atoi(digits) + (is_v4 ? MAPPED_BITS : 0);
    }
    if (range.bits > 128 || !is_clean(&range))
        return false;
    *ret_range = range;
    return true;
}

bool
source_list_has(const struct source_list *list, const char *address)
{
    unsigned char bytes[16];
    bool is_v4;

    if (!address_read(address, bytes, &is_v4))
        return false;
    for (size_t i = 0; i < list->count; i++) {
        if (is_in(&list->ranges[i], bytes))
            return true;
    }
    return false;
}

/* Takes the last element of the list, without the space around it; *bytes becomes what is left of it. */
static bool
last_take(const char *list, size_t *bytes, char address[SOURCE_TEXT_BYTES])
{
    size_t end = *bytes, from;

    while (end > 0 && strchr(" \t", list[end - 1]) != NULL)
        end--;
    for (from = end; from > 0 && list[from - 1] != ',';)
        from--;
    *bytes = from > 0 ? from - 1 : 0;
    while (from < end && strchr(" \t", list[from]) != NULL)
        from++;
    if (from == end || end - from >= SOURCE_TEXT_BYTES)
        return false;
    memcpy(address, list + from, end - from);
    address[end - from] = '\0';
    return true;
}

void
source_find(const struct source_list *proxies, const char *remote_address, const char *forwarded,
            char address[SOURCE_TEXT_BYTES])
{
    size_t left = forwarded == NULL ? 0 : strlen(forwarded);

    snprintf(address, SOURCE_TEXT_BYTES, "%s", remote_address);
    while (left > 0 && source_list_has(proxies, address)) {
        if (!last_take(forwarded, &left, address)) {
            address[0] = '\0'; /* a proxy that we trust says nothing that we can read: nobody */
            return;
        }
    }
}
