/* expression.h -- The expressions of the state language, parsed once when a definition loads.
 *
 * The forms are `$.BODY`, `$Exception{class}` and, where the language expects an expression anyway,
 * a plain BODY. A body is a subset of what Seata evaluates: keys ([a], [a]['b'], [a].b, [list][0]),
 * #root, literals, comparison, && || and or not, + - * / %, ?: ?. and the conditional, and the
 * methods size, length, isEmpty, contains, equals, startsWith. `.b` on a map is ours: Seata refuses
 * it. Everything else (type references, projections, regular expressions) is refused when parsed, so
 * an expression that loads means here what it means there.
 *
 * Thread    A parsed expression is read-only.
 * Memory    A parsed expression lives in the arena. expression_evaluate: a new reference, NULL is
 *           the language's null (jansson's json_null never comes out).
 * Errors    ERR_BAD_REQUEST with the place in the text, or what was wrong with a value.
 * Units     Whole numbers are int64 and are checked for overflow; a number with a point stays one. Two
 *           whole numbers, or a whole one and another, are compared exactly.
 */
#ifndef SAGA_ENGINE_EXPRESSION_H
#define SAGA_ENGINE_EXPRESSION_H

#include "mesh/base/arena.h"
#include "mesh/base/error.h"

#include <jansson.h>
#include <stdbool.h>

enum {
    EXPRESSION_BYTES_MAX = 1024,
    EXPRESSION_DEPTH_MAX = 32,
    TEXT_BYTES_MAX = 64 * 1024, /* that an expression makes by adding */
};

struct expression;

/* What an expression looks at. */
struct expression_scope {
    const json_t *root;    /* #root and where keys are looked up; NULL is null */
    const char *exception; /* the class at hand for $Exception{...}; NULL when there is none */
};

/* problem.field is left empty: the caller knows where the text stands. */
enum error expression_parse(const char *text, struct arena *arena, struct problem *problem,
                            struct expression **ret_expression);

/* Asks for the exception at hand, rather than for a value? */
bool expression_is_exception(const struct expression *expression);

enum error expression_evaluate(const struct expression *expression,
                               const struct expression_scope *scope, struct problem *problem,
                               json_t **ret_value);

/* Only an exact true is true. */
enum error expression_test(const struct expression *expression,
                           const struct expression_scope *scope, struct problem *problem,
                           bool *ret_is_true);

#endif
