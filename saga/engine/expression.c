/* expression.c -- A recursive descent parser into nodes.
 *
 * A table of words and one function per level of binding. Depth is limited once, here, so the walk
 * over the nodes (expression_evaluate.c) needs no limit of its own.
 */
#include "saga/engine/expression_inner.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/* A byte of a letter that is not ASCII: names may be in any script. */
static bool
is_beyond_ascii(char c)
{
    return ((unsigned char)c & 0x80) != 0;
}

static bool
is_name_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '$' || is_beyond_ascii(c);
}

static bool
is_name_part(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || is_beyond_ascii(c);
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
        errno = 0;
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
