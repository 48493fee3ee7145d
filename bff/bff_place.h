/* bff_place.h -- POST /api/v1/orders, which is a file of its own.
 *
 * Thread    The server's loop.
 */
#ifndef BFF_PLACE_H
#define BFF_PLACE_H

struct http_exchange;

/* Three attempts to place, the wait, three attempts to store the answer. */
enum { PLACE_MS = 25000 };

void order_place(struct http_exchange *exchange);

#endif
