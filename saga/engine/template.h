/* template.h -- A JSON value in which every string that begins with $ is an expression.
 *
 * What Input and Output are made of. A literal that begins with $ cannot be written, as in Seata.
 *
 * Thread    A read template is read-only.
 * Memory    It lives in the arena and points into the tree that it was read from.
 */
#ifndef SAGA_ENGINE_TEMPLATE_H
#define SAGA_ENGINE_TEMPLATE_H

#include "saga/engine/expression.h"

#include <stddef.h>

enum template_kind {
    TEMPLATE_LITERAL,
    TEMPLATE_EXPRESSION,
    TEMPLATE_OBJECT,
    TEMPLATE_ARRAY,
};

struct template
{
    enum template_kind kind;
    const char *key; /* in an object */
    const json_t *literal;
    struct expression *expression;
    struct template *items;
    size_t count;
};

enum error template_read(const json_t *json, struct arena *arena, struct problem *problem,
                         struct template *ret_template);

/* A new reference in *ret_json (NULL: null). Entries of objects that are null are left out; elements
 * of arrays stay, as null. */
enum error template_evaluate(const struct template *template, const struct expression_scope *scope,
                             struct problem *problem, json_t **ret_json);

#endif
