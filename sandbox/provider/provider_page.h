/* provider_page.h -- The checkout page: what the payer sees. Plain HTML, no scripts.
 *
 * Thread    Plain data.
 * Memory    The text is added to the writer's, which owns it.
 */
#ifndef SANDBOX_PROVIDER_PAGE_H
#define SANDBOX_PROVIDER_PAGE_H

#include "mesh/base/arena.h"
#include "sandbox/provider/provider_books.h"

/* In the arena. */
char *page_write(struct arena *arena, const struct payment *payment);

/* "12.50" of 1250 EUR, "500" of 500 JPY. */
char *amount_print(int64_t amount_minor, const char *currency, char text[32]);

#endif
