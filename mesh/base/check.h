/* check.h -- The shapes that requests have in common, each refused by naming the field and the rule.
 *
 * Errors    ERR_OK, or ERR_BAD_REQUEST (ids: more) with *problem filled. Field names as in the .proto.
 */
#ifndef MESH_BASE_CHECK_H
#define MESH_BASE_CHECK_H

#include "mesh/base/uuid.h"

enum { PAGE_SIZE_DEFAULT = 100, PAGE_SIZE_MAX = 1000, CUSTOMER_ID_BYTES_MAX = 64 };

/* A caller's id (uuid.h), by this machine's clock. */
enum error check_id(struct problem *problem, const char *field, const char *text,
                    struct uuid *ret_id);

/* Is an id that is new here too old (ERR_ID_TOO_OLD)? By the time that the caller goes by; where the machine's own
 * clock does not agree it is trouble, and no refusal (ERR_CLOCK_OFF). */
enum error check_age(struct problem *problem, const char *field, struct uuid id, int64_t now_us);

enum error check_range(struct problem *problem, const char *field, int64_t value, int64_t min,
                       int64_t max);

/* UTF-8 (the wire has made sure) of min to max bytes, without control characters. */
enum error check_text(struct problem *problem, const char *field, const char *text, size_t min,
                      size_t max);

/* 1 to max printable ASCII characters without spaces. */
enum error check_word(struct problem *problem, const char *field, const char *text, size_t max);

/* An http or https URL as RFC 3986 writes it, of 1 to max characters: with a host, without a user's name, and
 * what has no place in a URL is percent-encoded. */
enum error check_url(struct problem *problem, const char *field, const char *text, size_t max);

/* Three upper-case letters (ISO 4217). */
enum error check_currency(struct problem *problem, const char *field, const char *text);

/* 1 to 64 bytes of text without "/", which parts the names of accounts. */
enum error check_customer(struct problem *problem, const char *field, const char *text);

/* 0 means PAGE_SIZE_DEFAULT. */
enum error check_page_size(struct problem *problem, int32_t asked, int32_t *ret_size);

/* Of a page token that no list of ours has given. */
enum error check_refuse_token(struct problem *problem);

/* A page token that is an id; "" is the start, and gives nil. */
enum error check_page_id(struct problem *problem, const char *token, struct uuid *ret_id);

/* A page of a list that goes down by id, newest first: token and size. "" gives an id above all that there can be. */
enum error check_page_before(struct problem *problem, const char *token, int32_t asked,
                             struct uuid *ret_id, int32_t *ret_size);

#endif
