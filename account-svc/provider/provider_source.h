/* provider_source.h -- From where a provider's webhooks may come: addresses, and proxies that are believed.
 *
 * The source is who spoke to us; if that is a trusted proxy, whom it names last in X-Forwarded-For; and
 * so on, from right to left, until one is not trusted. What stands further left anybody can write.
 *
 * Thread    Plain data.
 */
#ifndef PROVIDER_SOURCE_H
#define PROVIDER_SOURCE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

enum { SOURCE_RANGES_MAX = 32, SOURCE_TEXT_BYTES = INET6_ADDRSTRLEN };

/* An address and how many of its bits count; IPv4 as ::ffff:a.b.c.d. */
struct source_range {
    unsigned char bytes[16];
    int bits;
};

struct source_list {
    struct source_range ranges[SOURCE_RANGES_MAX];
    size_t count;
};

/* "13.112.237.64", "10.0.0.0/8", "2001:db8::/32". False: it is none, or has bits set behind its end. */
bool source_range_read(const char *text, struct source_range *ret_range);

/* False also for a text that is no address. */
bool source_list_has(const struct source_list *list, const char *address);

/* The source, as a text in address. forwarded is the header; NULL: there is none, or more than one. */
void source_find(const struct source_list *proxies, const char *remote_address,
                 const char *forwarded, char address[SOURCE_TEXT_BYTES]);

#endif
