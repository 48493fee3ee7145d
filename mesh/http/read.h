/* read.h -- What handlers read of their requests, strictly: bodies, keys, parameters.
 *
 * Thread    The one that has the exchange.
 * Memory    What is read lives in the exchange's arena.
 * Errors    False, or NULL: the exchange was answered with 400, naming the member, header or parameter and the
 *           rule, and is gone.
 */
#ifndef MESH_HTTP_READ_H
#define MESH_HTTP_READ_H

#include "mesh/http/body.h"
#include "mesh/http/server.h"

/* Answers 400 "BAD_REQUEST". pointer: as in problem.h. */
void http_refuse(struct http_exchange *exchange, const char *pointer, const char *detail);

/* Reads the body by a table into *values. */
bool http_read_body(struct http_exchange *exchange, const struct body_field *fields, void *values);

/* For requests that say all by their path: nothing, or a JSON object with any members. */
bool http_ignore_body(struct http_exchange *exchange);

/* The Idempotency-Key, which is required. */
const char *http_read_key(struct http_exchange *exchange);

/* Is each query parameter one of names (ended by NULL), there once, with a value that can be read? To take a
 * broken one for absent would show everybody's rows for one's. */
bool http_check_query(struct http_exchange *exchange, const char *const *names);

/* "" when there is none. Never refuses. */
const char *http_read_query(struct http_exchange *exchange, const char *name);

/* The parameter pageSize; 0 when there is none. */
bool http_read_page_size(struct http_exchange *exchange, int32_t *ret_size);

/* Idempotency-Key: a quoted string of RFC 8941, or bare as many clients send it. 1 to 255 printable
 * characters. NULL, with the rule in *ret_because, when it is none. */
enum { IDEMPOTENCY_KEY_BYTES_MAX = 255 };
const char *idempotency_key_read(const char *header, struct arena *arena, const char **ret_because);

#endif
