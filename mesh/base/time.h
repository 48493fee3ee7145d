/* time.h -- Moments as text and back: RFC 3339, and the date of an HTTP header.
 *
 * Thread    Plain data.
 * Errors    time_read() answers false and leaves *ret_time_us alone.
 * Units     *_us microseconds since 1970 UTC. Printed times are UTC, of years 1970 to 9999: a moment
 *           before or after is printed as the first or the last of them.
 */
#ifndef MESH_BASE_TIME_H
#define MESH_BASE_TIME_H

#include <stdbool.h>
#include <stdint.h>

enum { TIME_TEXT_BYTES = 27, TIME_HTTP_BYTES = 29 };

/* "2026-11-21T10:00:00.000000Z"; returns text. */
char *time_print(int64_t time_us, char text[TIME_TEXT_BYTES + 1]);

/* "2026-11-21T10:00:00Z", for readers that know no fraction. */
char *time_print_seconds(int64_t time_us, char text[TIME_TEXT_BYTES + 1]);

/* "Sat, 21 Nov 2026 10:00:00 GMT" (RFC 9110, 5.6.7). */
char *time_print_http(int64_t time_us, char text[TIME_HTTP_BYTES + 1]);

/* Text as RFC 3339 writes it, to its end, with "Z" or an offset: a date and a time of day that exist, from
 * 1970 to 9999. Digits of a second after the sixth are dropped. A leap second is the second after it. NULL
 * is no time. */
bool time_read(const char *text, int64_t *ret_time_us);

#endif
