/* exception.h -- Which class of error is below which: what Catch, Retry and Status compare.
 *
 * Definitions name Java's classes (Seata's own do) and ours: sagamesh.Refused and below it one per
 * reason, sagamesh.NotDone, sagamesh.Unknown, sagamesh.Canceled, sagamesh.DefinitionError.
 *
 * Thread    Plain data.
 */
#ifndef SAGA_ENGINE_EXCEPTION_H
#define SAGA_ENGINE_EXCEPTION_H

#include <stdbool.h>

#define CLASS_REFUSED "sagamesh.Refused"
#define CLASS_NOT_DONE "sagamesh.NotDone"
#define CLASS_UNKNOWN "sagamesh.Unknown"
#define CLASS_CANCELED "sagamesh.Canceled"
#define CLASS_OPERATOR "sagamesh.Operator"
#define CLASS_TIMEOUT "sagamesh.Timeout"
#define CLASS_DEFINITION "sagamesh.DefinitionError"

/* Is the class ancestor, or below it? A class that nobody knows is an Error when its name ends so,
 * else a RuntimeException. An ancestor without dots is compared with the last part of the names. */
bool exception_is(const char *name, const char *ancestor);

#endif
