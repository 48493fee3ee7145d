/* provider_record.h -- A payment as JSON: its record in the journal and in GET /books, what the API
 * answers, and the body of a webhook.
 *
 * Thread    Plain data.
 * Errors    A record that cannot be read is ERR_BAD_REQUEST, with the field in *problem.
 * Units     Times are texts of time.h, to the microsecond.
 */
#ifndef SANDBOX_PROVIDER_RECORD_H
#define SANDBOX_PROVIDER_RECORD_H

#include "mesh/base/json.h"
#include "sandbox/provider/provider_books.h"

/* Everything there is to know; key as json_open_object() takes it. */
void payment_record_write(struct json_writer *writer, const char *key,
                          const struct payment *payment);

/* Puts what a record says into the books, over what they had. */
enum error payment_record_read(struct books *books, const json_t *record, struct problem *problem);

/* The faults of "*". */
void books_record_write(struct json_writer *writer, const struct books *books);
enum error books_record_read(struct books *books, const json_t *record, struct problem *problem);

/* What the merchant sees. base_url is the provider's own, "http://127.0.0.1:8090". */
void payment_answer_write(struct json_writer *writer, const char *key,
                          const struct payment *payment, const char *base_url);

void notice_body_write(struct json_writer *writer, const struct payment *payment,
                       const struct notice *notice);

/* An array of fault texts; NULL is none. False: *problem says which is not one. */
bool faults_read(const json_t *array, int64_t times, struct faults *faults,
                 struct problem *problem);

#endif
