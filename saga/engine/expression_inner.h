/* expression_inner.h -- The nodes of an expression: made by expression.c, walked by
 * expression_evaluate.c, with expression_text.c. Inside these only. */
#ifndef SAGA_ENGINE_EXPRESSION_INNER_H
#define SAGA_ENGINE_EXPRESSION_INNER_H

#include "saga/engine/expression.h"

enum node_kind {
    NODE_NULL,
    NODE_BOOL,
    NODE_INT,
    NODE_REAL,
    NODE_TEXT,
    NODE_ROOT,
    NODE_KEY,   /* left[text] or left.text */
    NODE_INDEX, /* left[number] */
    NODE_CALL,  /* left.method(right) */
    NODE_NEGATE,
    NODE_NOT,
    NODE_AND,
    NODE_OR,
    NODE_COMPARE,
    NODE_ARITHMETIC,
    NODE_ELVIS,
    NODE_CONDITION,
    NODE_KIND_COUNT
};

enum compare { COMPARE_EQ, COMPARE_NE, COMPARE_LT, COMPARE_LE, COMPARE_GT, COMPARE_GE };

enum method {
    METHOD_SIZE,
    METHOD_LENGTH,
    METHOD_IS_EMPTY,
    METHOD_CONTAINS,
    METHOD_EQUALS,
    METHOD_STARTS_WITH,
};

struct node {
    enum node_kind kind;
    struct node *left, *right, *third;
    const char *text;
    int64_t number; /* a literal, an index, true; or which comparison, operator, method */
    double real;
    bool is_safe; /* ?. */
};

enum { REAL_TEXT_BYTES = 48 };

/* In UTF-16 units, as Java counts. The text is UTF-8. */
int64_t text_length(const char *text);
/* As Java prints it. */
void real_print(double value, char text[REAL_TEXT_BYTES]);

struct expression {
    const struct node *root;
    const char *exception; /* the class of $Exception{...} */
};

#endif
