/* expression.c -- A recursive descent parser into nodes, and a walk over the nodes.
 *
 * The parser is a table of words and one function per level of binding; the walk has one function per
 * kind of node. Depth is limited once, in the parser, so the walk needs no limit of its own.
 */
#include "saga/engine/expression.h"
#include "saga/engine/exception.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

struct expression {
    const struct node *root;
    const char *exception; /* the class of $Exception{...} */
};

/* clang-format off */
static const struct {
    const char *name;
    enum method method;
    bool has_argument;
} methods[] = {
    { "size",       METHOD_SIZE,        false },
    { "length",     METHOD_LENGTH,      false },
    { "isEmpty",    METHOD_IS_EMPTY,    false },
    { "contains",   METHOD_CONTAINS,    true  },
    { "equals",     METHOD_EQUALS,      true  },
    { "startsWith", METHOD_STARTS_WITH, true  },
};

/* Longer signs first. */
static const struct {
    const char *sign, *word;
    enum compare compare;
} comparisons[] = {
    { "==", "eq", COMPARE_EQ },
    { "!=", "ne", COMPARE_NE },
    { "<=", "le", COMPARE_LE },
    { ">=", "ge", COMPARE_GE },
    { "<",  "lt", COMPARE_LT },
    { ">",  "gt", COMPARE_GT },
};

/* Words that mean something and so cannot be the name of a property. */
static const char *const reserved[] = {
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "div", "mod", "matches", "instanceof",
    "between", "new", "class", "T",
};
/* clang-format on */

/* Parsing */

struct parser {
    const char *start, *at;
    struct arena *arena;
    struct problem *problem;
    int depth;
    bool has_failed;
};

static struct node *parse_expression(struct parser *parser);

static struct node *
fail(struct parser *parser, const char *rule)
{
    if (!parser->has_failed)
        problem_set(parser->problem, ERR_BAD_REQUEST, NULL, "%s at \"%.24s\" of \"%.60s\"", rule,
                    parser->at, parser->start);
    parser->has_failed = true;
    return NULL;
}

static struct node *
node_new(struct parser *parser, enum node_kind kind, struct node *left, struct node *right)
{
    struct node *node = arena_take(parser->arena, sizeof *node);

    node->kind = kind;
    node->left = left;
    node->right = right;
    return node;
}

static void
skip_spaces(struct parser *parser)
{
    while (*parser->at == ' ' || *parser->at == '\t' || *parser->at == '\n')
        parser->at++;
}

static bool
is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '$';
}

static bool
is_name_part(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

static bool
take_sign(struct parser *parser, const char *sign)
{
    size_t bytes = strlen(sign);

    skip_spaces(parser);
    if (strncmp(parser->at, sign, bytes) != 0)
        return false;
    parser->at += bytes;
    return true;
}

static bool
take_word(struct parser *parser, const char *word)
{
    size_t bytes = strlen(word);

    skip_spaces(parser);
    if (strncasecmp(parser->at, word, bytes) != 0 || is_name_part(parser->at[bytes]))
        return false;
    parser->at += bytes;
    return true;
}

static const char *
take_name(struct parser *parser)
{
    const char *start;

    skip_spaces(parser);
    start = parser->at;
    if (!is_name_start(*start))
        return NULL;
    while (is_name_part(*parser->at))
        parser->at++;
    return arena_copy(parser->arena, start, (size_t)(parser->at - start));
}

/* Between ' or ", the quote itself doubled. */
static const char *
take_quoted(struct parser *parser)
{
    char quote = *parser->at++;
    char *text = arena_take(parser->arena, strlen(parser->at) + 1);
    size_t bytes = 0;

    for (;;) {
        if (*parser->at == '\0') {
            fail(parser, "a text that does not end");
            return "";
        }
        if (*parser->at == quote) {
            parser->at++;
            if (*parser->at != quote)
                break;
        }
        text[bytes++] = *parser->at++;
    }
    text[bytes] = '\0';
    return text;
}

static struct node *
parse_number(struct parser *parser)
{
    struct node *node = node_new(parser, NODE_INT, NULL, NULL);
    char *end;

    errno = 0;
    node->number = strtoll(parser->at, &end, 10);
    if (*end == '.' && isdigit((unsigned char)end[1])) {
        node->kind = NODE_REAL;
        node->real = strtod(parser->at, &end);
    }
    if (errno != 0)
        return fail(parser, "a number that is too big");
    if (node->kind == NODE_INT && (*end == 'L' || *end == 'l'))
        end++;
    if (is_name_part(*end))
        return fail(parser, "not a number");
    parser->at = end;
    return node;
}

/* [key], ['key'] or [0], after the bracket. */
static struct node *
parse_key(struct parser *parser, struct node *of, bool may_be_index)
{
    struct node *node = node_new(parser, NODE_KEY, of, NULL);

    skip_spaces(parser);
    if (*parser->at == '\'' || *parser->at == '"') {
        node->text = take_quoted(parser);
    } else if (isdigit((unsigned char)*parser->at) && may_be_index) {
        struct node *index = parse_number(parser);

        if (index == NULL || index->kind != NODE_INT)
            return fail(parser, "an index must be a whole number");
        node->kind = NODE_INDEX;
        node->number = index->number;
    } else {
        node->text = take_name(parser);
        if (node->text == NULL)
            return fail(parser, "a key must be a name or a quoted text");
    }
    if (!take_sign(parser, "]"))
        return fail(parser, "a key must end with ]");
    return node;
}

static struct node *
parse_call(struct parser *parser, struct node *of, const char *name)
{
    struct node *node = node_new(parser, NODE_CALL, of, NULL);

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, name) != 0)
            continue;
        node->number = methods[i].method;
        if (methods[i].has_argument)
            node->right = parse_expression(parser);
        if (!take_sign(parser, ")"))
            return fail(parser, "a method's arguments must end with )");
        return node;
    }
    return fail(parser, "a method that is not supported");
}

static struct node *
parse_property(struct parser *parser, struct node *of)
{
    const char *name = take_name(parser);
    struct node *node;

    if (name == NULL)
        return fail(parser, "a name is missing (projections and selections are not supported)");
    if (take_sign(parser, "("))
        return parse_call(parser, of, name);
    if (strcmp(name, "class") == 0)
        return fail(parser, "classes of values are not supported");
    node = node_new(parser, NODE_KEY, of, NULL);
    node->text = name;
    return node;
}

static struct node *
parse_name(struct parser *parser)
{
    const char *start = parser->at;
    struct node *node;
    const char *name;

    if (take_word(parser, "null"))
        return node_new(parser, NODE_NULL, NULL, NULL);
    if (take_word(parser, "true") || take_word(parser, "false")) {
        node = node_new(parser, NODE_BOOL, NULL, NULL);
        node->number = tolower((unsigned char)*start) == 't';
        return node;
    }
    name = take_name(parser);
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
        if (strcmp(reserved[i], name) == 0) {
            parser->at = start;
            return fail(parser, "a word that is not supported here");
        }
    }
    parser->at = start;
    return parse_property(parser, node_new(parser, NODE_ROOT, NULL, NULL));
}

static struct node *
parse_primary(struct parser *parser)
{
    struct node *node;

    skip_spaces(parser);
    if (take_sign(parser, "[")) /* a bare number is a key here, and the context has none such */
        return parse_key(parser, node_new(parser, NODE_ROOT, NULL, NULL), false);
    if (take_sign(parser, "(")) {
        node = parse_expression(parser);
        return take_sign(parser, ")") ? node : fail(parser, "a bracket is not closed");
    }
    if (*parser->at == '#') {
        parser->at++;
        if (take_word(parser, "root"))
            return node_new(parser, NODE_ROOT, NULL, NULL);
        return fail(parser, "the only variable is #root");
    }
    if (*parser->at == '\'' || *parser->at == '"') {
        node = node_new(parser, NODE_TEXT, NULL, NULL);
        node->text = take_quoted(parser);
        return node;
    }
    if (isdigit((unsigned char)*parser->at))
        return parse_number(parser);
    if (is_name_start(*parser->at))
        return parse_name(parser);
    return fail(parser, *parser->at == '\0' ? "something is missing" : "not supported");
}

static struct node *
parse_postfix(struct parser *parser)
{
    struct node *node = parse_primary(parser);

    for (int length = 0; node != NULL; length++) {
        if (length == EXPRESSION_DEPTH_MAX)
            return fail(parser, "too many steps in one path");
        if (take_sign(parser, "[")) {
            node = parse_key(parser, node, true);
        } else if (take_sign(parser, "?.")) {
            node = parse_property(parser, node);
            if (node != NULL)
                node->is_safe = true;
        } else if (take_sign(parser, ".")) {
            node = parse_property(parser, node);
        } else {
            break;
        }
    }
    return node;
}

static struct node *
parse_unary(struct parser *parser)
{
    struct node *node;

    if (++parser->depth > EXPRESSION_DEPTH_MAX)
        return fail(parser, "nested too deep");
    if (take_sign(parser, "-")) {
        node = node_new(parser, NODE_NEGATE, parse_unary(parser), NULL);
    } else if (take_word(parser, "not")) {
        node = node_new(parser, NODE_NOT, parse_unary(parser), NULL);
    } else if (skip_spaces(parser), parser->at[0] == '!' && parser->at[1] != '=') {
        parser->at++;
        skip_spaces(parser);
        if (*parser->at == '[') /* Seata reads ![x] as a projection */
            return fail(parser, "write `not [x]`: `![` is a projection, which is not supported");
        node = node_new(parser, NODE_NOT, parse_unary(parser), NULL);
    } else {
        node = parse_postfix(parser);
    }
    parser->depth--;
    return node;
}

static struct node *
parse_arithmetic(struct parser *parser, const char *signs, struct node *(*next)(struct parser *))
{
    struct node *node = next(parser);

    for (int length = 0; node != NULL; length++) {
        struct node *parent;
        const char *sign;

        skip_spaces(parser);
        sign = *parser->at == '\0' ? NULL : strchr(signs, *parser->at);
        if (sign == NULL)
            break;
        if (length == EXPRESSION_DEPTH_MAX)
            return fail(parser, "too many terms");
        parser->at++;
        parent = node_new(parser, NODE_ARITHMETIC, node, next(parser));
        parent->number = *sign;
        node = parent;
    }
    return node;
}

static struct node *
parse_product(struct parser *parser)
{
    return parse_arithmetic(parser, "*/%", parse_unary);
}

static struct node *
parse_sum(struct parser *parser)
{
    return parse_arithmetic(parser, "+-", parse_product);
}

static struct node *
parse_comparison(struct parser *parser)
{
    struct node *left = parse_sum(parser);

    for (size_t i = 0; left != NULL && i < sizeof comparisons / sizeof *comparisons; i++) {
        struct node *node;

        if (!take_sign(parser, comparisons[i].sign) && !take_word(parser, comparisons[i].word))
            continue;
        node = node_new(parser, NODE_COMPARE, left, parse_sum(parser));
        node->number = comparisons[i].compare;
        return node;
    }
    return left;
}

static struct node *
parse_and(struct parser *parser)
{
    struct node *node = parse_comparison(parser);

    for (int length = 0; take_sign(parser, "&&") || take_word(parser, "and"); length++) {
        if (length == EXPRESSION_DEPTH_MAX)
            return fail(parser, "too many terms");
        node = node_new(parser, NODE_AND, node, parse_comparison(parser));
    }
    return node;
}

static struct node *
parse_or(struct parser *parser)
{
    struct node *node = parse_and(parser);

    for (int length = 0; take_sign(parser, "||") || take_word(parser, "or"); length++) {
        if (length == EXPRESSION_DEPTH_MAX)
            return fail(parser, "too many terms");
        node = node_new(parser, NODE_OR, node, parse_and(parser));
    }
    return node;
}

static struct node *
parse_expression(struct parser *parser)
{
    struct node *node;

    if (parser->has_failed)
        return NULL;
    if (++parser->depth > EXPRESSION_DEPTH_MAX)
        return fail(parser, "nested too deep");
    node = parse_or(parser);
    if (take_sign(parser, "?:")) {
        node = node_new(parser, NODE_ELVIS, node, parse_expression(parser));
    } else if (skip_spaces(parser), parser->at[0] == '?' && parser->at[1] != '.') {
        parser->at++;
        node = node_new(parser, NODE_CONDITION, node, parse_expression(parser));
        if (!take_sign(parser, ":"))
            return fail(parser, "a condition must have two branches");
        node->third = parse_expression(parser);
    }
    parser->depth--;
    return node;
}

/* $Exception{class}, after the brace. */
static enum error
parse_exception(const char *text, struct arena *arena, struct problem *problem,
                struct expression *expression)
{
    size_t bytes = strcspn(text, "}");

    if (bytes == 0 || text[bytes] != '}' || text[bytes + 1] != '\0')
        return problem_set(problem, ERR_BAD_REQUEST, NULL, "must be $Exception{class}");
    expression->exception = arena_copy(arena, text, bytes);
    return ERR_OK;
}

enum error
expression_parse(const char *text, struct arena *arena, struct problem *problem,
                 struct expression **ret_expression)
{
    struct expression *expression = arena_take(arena, sizeof *expression);
    struct parser parser = { .start = text, .at = text, .arena = arena, .problem = problem };

    if (strlen(text) > EXPRESSION_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, NULL,
                           "an expression has at most %d characters", EXPRESSION_BYTES_MAX);
    if (strncmp(text, "$Exception{", strlen("$Exception{")) == 0) {
        *ret_expression = expression;
        return parse_exception(text + strlen("$Exception{"), arena, problem, expression);
    }
    if (text[0] == '$') {
        if (text[1] != '.')
            return problem_set(problem, ERR_BAD_REQUEST, NULL,
                               "expressions of the type \"%.40s\" are not supported", text);
        parser.at += 2;
    }
    expression->root = parse_expression(&parser);
    skip_spaces(&parser);
    if (!parser.has_failed && *parser.at != '\0')
        fail(&parser, "not supported");
    if (parser.has_failed)
        return ERR_BAD_REQUEST;
    *ret_expression = expression;
    return ERR_OK;
}

bool
expression_is_exception(const struct expression *expression)
{
    return expression->exception != NULL;
}

/* Evaluating. NULL is null; a function answers false after it set the problem. */

struct walk {
    const struct expression_scope *scope;
    struct problem *problem;
};

static bool evaluate(const struct walk *walk, const struct node *node, json_t **ret_value);

static bool
refuse(const struct walk *walk, const char *rule)
{
    problem_set(walk->problem, ERR_BAD_REQUEST, NULL, "%s", rule);
    return false;
}

static json_t *
share(const json_t *value)
{
    return value == NULL || json_is_null(value) ? NULL : json_incref((json_t *)value);
}

static bool
evaluate_key(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *of;
    bool is_fine = true;

    if (!evaluate(walk, node->left, &of))
        return false;
    if (of == NULL && node->is_safe)
        *ret_value = NULL;
    else if (of == NULL && node->left->kind == NODE_ROOT)
        *ret_value = NULL;
    else if (!json_is_object(of))
        is_fine = refuse(walk, of == NULL ? "asks for a key of null" : "asks for a key of no map");
    else
        *ret_value = share(json_object_get(of, node->text));
    json_decref(of);
    return is_fine;
}

static bool
evaluate_index(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *of;
    bool is_fine = true;

    if (!evaluate(walk, node->left, &of))
        return false;
    if (!json_is_array(of))
        is_fine = refuse(walk, "asks for an element of no list");
    else if ((size_t)node->number >= json_array_size(of))
        is_fine = refuse(walk, "asks for an element past the list's end");
    else
        *ret_value = share(json_array_get(of, (size_t)node->number));
    json_decref(of);
    return is_fine;
}

static bool
is_number(const json_t *value)
{
    return value != NULL && json_is_number(value);
}

static bool
is_equal(const json_t *a, const json_t *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    if (is_number(a) && is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b) != 0;
}

static bool
call_text_method(const struct walk *walk, enum method method, const char *text,
                 const json_t *argument, json_t **ret_value)
{
    const char *other = json_string_value(argument);

    switch (method) {
    case METHOD_LENGTH:
        *ret_value = json_integer((json_int_t)strlen(text));
        return true;
    case METHOD_IS_EMPTY:
        *ret_value = json_boolean(text[0] == '\0');
        return true;
    case METHOD_CONTAINS:
        *ret_value = json_boolean(other != NULL && strstr(text, other) != NULL);
        return true;
    case METHOD_STARTS_WITH:
        *ret_value = json_boolean(other != NULL && strncmp(text, other, strlen(other)) == 0);
        return true;
    default:
        return refuse(walk, "calls a method that a text does not have");
    }
}

static bool
list_has(const json_t *list, const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = share(json_array_get(list, i));
        bool is_same = is_equal(item, wanted);

        json_decref(item);
        if (is_same)
            return true;
    }
    return false;
}

static bool
call_method(const struct walk *walk, enum method method, const json_t *of, const json_t *argument,
            json_t **ret_value)
{
    size_t size;

    if (of == NULL)
        return refuse(walk, "calls a method of null");
    if (method == METHOD_EQUALS) {
        *ret_value = json_boolean(is_equal(of, argument));
        return true;
    }
    if (json_is_string(of))
        return call_text_method(walk, method, json_string_value(of), argument, ret_value);
    if (!json_is_array(of) && !json_is_object(of))
        return refuse(walk, "calls a method that the value does not have");
    size = json_is_array(of) ? json_array_size(of) : json_object_size(of);
    if (method == METHOD_SIZE)
        *ret_value = json_integer((json_int_t)size);
    else if (method == METHOD_IS_EMPTY)
        *ret_value = json_boolean(size == 0);
    else if (method == METHOD_CONTAINS && json_is_array(of))
        *ret_value = json_boolean(list_has(of, argument));
    else
        return refuse(walk, "calls a method that the value does not have");
    return true;
}

static bool
evaluate_call(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *of, *argument = NULL;
    bool is_fine;

    if (!evaluate(walk, node->left, &of))
        return false;
    if (of == NULL && node->is_safe) {
        *ret_value = NULL;
        return true;
    }
    is_fine = (node->right == NULL || evaluate(walk, node->right, &argument)) &&
              call_method(walk, (enum method)node->number, of, argument, ret_value);
    json_decref(of);
    json_decref(argument);
    return is_fine;
}

static bool
evaluate_bool(const struct walk *walk, const struct node *node, bool *ret_is_true)
{
    json_t *value;
    bool is_fine;

    if (!evaluate(walk, node, &value))
        return false;
    is_fine = json_is_boolean(value);
    *ret_is_true = json_is_true(value);
    json_decref(value);
    return is_fine || refuse(walk, "needs true or false");
}

static bool
evaluate_logic(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    bool left, right;

    if (!evaluate_bool(walk, node->left, &left))
        return false;
    if (node->kind == NODE_NOT) {
        *ret_value = json_boolean(!left);
        return true;
    }
    right = left;
    if (left == (node->kind == NODE_AND) && !evaluate_bool(walk, node->right, &right))
        return false;
    *ret_value = json_boolean(right);
    return true;
}

/* Null is below everything, as in Seata. */
static bool
order(const struct walk *walk, const json_t *a, const json_t *b, int *ret_order)
{
    if (a == NULL || b == NULL) {
        *ret_order = (a != NULL) - (b != NULL);
    } else if (json_is_integer(a) && json_is_integer(b)) {
        int64_t left = json_integer_value(a), right = json_integer_value(b);

        *ret_order = (left > right) - (left < right);
    } else if (is_number(a) && is_number(b)) {
        double left = json_number_value(a), right = json_number_value(b);

        *ret_order = (left > right) - (left < right);
    } else if (json_is_string(a) && json_is_string(b)) {
        *ret_order = strcmp(json_string_value(a), json_string_value(b));
    } else {
        return refuse(walk, "compares things that have no order");
    }
    return true;
}

static bool
compare(const struct walk *walk, enum compare how, const json_t *a, const json_t *b,
        bool *ret_is_true)
{
    int ordered = 0;

    if (how == COMPARE_EQ || how == COMPARE_NE) {
        *ret_is_true = is_equal(a, b) == (how == COMPARE_EQ);
        return true;
    }
    if (!order(walk, a, b, &ordered))
        return false;
    *ret_is_true = how == COMPARE_LT   ? ordered < 0
                   : how == COMPARE_LE ? ordered <= 0
                   : how == COMPARE_GT ? ordered > 0
                                       : ordered >= 0;
    return true;
}

/* A text with anything plain added to it. */
static bool
print_plain(const json_t *value, char *text, size_t size)
{
    if (value == NULL)
        snprintf(text, size, "null");
    else if (json_is_integer(value))
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
    else
        return false;
    return true;
}

static bool
join(const struct walk *walk, const json_t *a, const json_t *b, json_t **ret_value)
{
    char a_plain[32], b_plain[32];
    const char *left = json_string_value(a), *right = json_string_value(b);

    if (left == NULL && print_plain(a, a_plain, sizeof a_plain))
        left = a_plain;
    if (right == NULL && print_plain(b, b_plain, sizeof b_plain))
        right = b_plain;
    if (left == NULL || right == NULL)
        return refuse(walk, "adds to a text what has no text");
    *ret_value = json_sprintf("%s%s", left, right);
    return true;
}

static bool
calculate_int(const struct walk *walk, char sign, int64_t a, int64_t b, json_t **ret_value)
{
    int64_t result;
    bool is_over;

    if ((sign == '/' || sign == '%') && b == 0)
        return refuse(walk, "divides by zero");
    if ((sign == '/' || sign == '%') && b == -1) /* the one division that can overflow */
        is_over = __builtin_sub_overflow(0, sign == '/' ? a : 0, &result);
    else if (sign == '+')
        is_over = __builtin_add_overflow(a, b, &result);
    else if (sign == '-')
        is_over = __builtin_sub_overflow(a, b, &result);
    else if (sign == '*')
        is_over = __builtin_mul_overflow(a, b, &result);
    else
        is_over = __builtin_add_overflow(sign == '/' ? a / b : a % b, 0, &result);
    if (is_over)
        return refuse(walk, "overflows");
    *ret_value = json_integer(result);
    return true;
}

static bool
calculate(const struct walk *walk, char sign, const json_t *a, const json_t *b, json_t **ret_value)
{
    double left, right;

    if (sign == '+' && (json_is_string(a) || json_is_string(b)))
        return join(walk, a, b, ret_value);
    if (!is_number(a) || !is_number(b))
        return refuse(walk, "calculates with what is no number");
    if (json_is_integer(a) && json_is_integer(b))
        return calculate_int(walk, sign, json_integer_value(a), json_integer_value(b), ret_value);
    left = json_number_value(a);
    right = json_number_value(b);
    if (sign == '%' || (sign == '/' && right == 0.0))
        return refuse(walk, "has no result among numbers");
    *ret_value = json_real(sign == '+'   ? left + right
                           : sign == '-' ? left - right
                           : sign == '*' ? left * right
                                         : left / right);
    return *ret_value != NULL || refuse(walk, "overflows"); /* jansson refuses infinity */
}

static bool
evaluate_pair(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *left, *right;
    bool is_fine, is_true = false;

    if (!evaluate(walk, node->left, &left))
        return false;
    if (!evaluate(walk, node->right, &right)) {
        json_decref(left);
        return false;
    }
    if (node->kind == NODE_COMPARE) {
        is_fine = compare(walk, (enum compare)node->number, left, right, &is_true);
        if (is_fine)
            *ret_value = json_boolean(is_true);
    } else {
        is_fine = calculate(walk, (char)node->number, left, right, ret_value);
    }
    json_decref(left);
    json_decref(right);
    return is_fine;
}

static bool
evaluate_negate(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *value, *zero = json_integer(0);
    bool is_fine = evaluate(walk, node->left, &value);

    if (is_fine) {
        is_fine = calculate(walk, '-', zero, value, ret_value);
        json_decref(value);
    }
    json_decref(zero);
    return is_fine;
}

static bool
evaluate_branch(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    json_t *value;
    bool is_true;

    if (node->kind == NODE_CONDITION)
        return evaluate_bool(walk, node->left, &is_true) &&
               evaluate(walk, is_true ? node->right : node->third, ret_value);
    if (!evaluate(walk, node->left, &value))
        return false;
    if (value != NULL && !(json_is_string(value) && json_string_length(value) == 0)) {
        *ret_value = value;
        return true;
    }
    json_decref(value);
    return evaluate(walk, node->right, ret_value);
}

static bool
evaluate(const struct walk *walk, const struct node *node, json_t **ret_value)
{
    switch (node->kind) {
    case NODE_NULL:
        *ret_value = NULL;
        return true;
    case NODE_BOOL:
        *ret_value = json_boolean(node->number != 0);
        return true;
    case NODE_INT:
        *ret_value = json_integer(node->number);
        return true;
    case NODE_REAL:
        *ret_value = json_real(node->real);
        return true;
    case NODE_TEXT:
        *ret_value = json_string(node->text);
        return true;
    case NODE_ROOT:
        *ret_value = share(walk->scope->root);
        return true;
    case NODE_KEY:
        return evaluate_key(walk, node, ret_value);
    case NODE_INDEX:
        return evaluate_index(walk, node, ret_value);
    case NODE_CALL:
        return evaluate_call(walk, node, ret_value);
    case NODE_NEGATE:
        return evaluate_negate(walk, node, ret_value);
    case NODE_NOT:
    case NODE_AND:
    case NODE_OR:
        return evaluate_logic(walk, node, ret_value);
    case NODE_COMPARE:
    case NODE_ARITHMETIC:
        return evaluate_pair(walk, node, ret_value);
    case NODE_ELVIS:
    case NODE_CONDITION:
        return evaluate_branch(walk, node, ret_value);
    case NODE_KIND_COUNT:
        break;
    }
    assert(false && "a node of a kind that does not exist");
    return false;
}

enum error
expression_evaluate(const struct expression *expression, const struct expression_scope *scope,
                    struct problem *problem, json_t **ret_value)
{
    struct walk walk = { .scope = scope, .problem = problem };

    if (expression->exception != NULL) {
        *ret_value = json_boolean(scope->exception != NULL &&
                                  exception_is(scope->exception, expression->exception));
        return ERR_OK;
    }
    return evaluate(&walk, expression->root, ret_value) ? ERR_OK : ERR_BAD_REQUEST;
}

enum error
expression_test(const struct expression *expression, const struct expression_scope *scope,
                struct problem *problem, bool *ret_is_true)
{
    json_t *value;

    if (expression_evaluate(expression, scope, problem, &value) != ERR_OK)
        return ERR_BAD_REQUEST;
    *ret_is_true = json_is_true(value);
    json_decref(value);
    return ERR_OK;
}
