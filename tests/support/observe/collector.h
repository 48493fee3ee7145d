/* collector.h -- A collector of spans that answers as it is told: HTTP on a loopback port.
 *
 * Thread    A thread of its own takes connections, one after the other. The calls: the test's.
 * Memory    Bodies are kept until close.
 */
#ifndef TESTS_SUPPORT_OBSERVE_COLLECTOR_H
#define TESTS_SUPPORT_OBSERVE_COLLECTOR_H

#include <stddef.h>

struct collector;

struct collector *collector_open(void);
struct collector *collector_close(struct collector *collector);
int collector_port(const struct collector *collector);

/* The answer of the next request, and of all after it until another is set. status 0: the request is read, and
 * nothing is answered until another answer is set. header may be "". */
void collector_answers(struct collector *collector, int status, const char *header,
                       const char *body);

/* How many requests came; the head and body of one, valid until close. */
size_t collector_count(struct collector *collector);
const char *collector_head(struct collector *collector, size_t index);
const char *collector_body(struct collector *collector, size_t index, size_t *ret_bytes);

#endif
