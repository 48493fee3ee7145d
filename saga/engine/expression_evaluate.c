/* expression_evaluate.c -- A walk over the nodes of an expression, one function per kind of node.
 *
 * A NULL value is the language's null; a function answers false after it set the problem.
 */
#include "saga/engine/exception.h"
#include "saga/engine/expression_inner.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* A whole number beside any other, to the last digit: as a double it may be another. */
static int
order_int_real(int64_t whole, double real)
{
    int64_t floor_of_real;

    if (real >= 0x1p63)
        return -1;
    if (real < -0x1p63)
        return 1;
    floor_of_real = (int64_t)floor(real);
    if (whole != floor_of_real)
        return whole < floor_of_real ? -1 : 1;
    return (double)floor_of_real < real ? -1 : 0;
}

static int
order_numbers(const json_t *a, const json_t *b)
{
    double left = json_number_value(a), right = json_number_value(b);

    if (json_is_integer(a) && json_is_integer(b))
        return (json_integer_value(a) > json_integer_value(b)) -
               (json_integer_value(a) < json_integer_value(b));
    if (json_is_integer(a))
        return order_int_real(json_integer_value(a), right);
    if (json_is_integer(b))
        return -order_int_real(json_integer_value(b), left);
    return (left > right) - (left < right);
}

static bool
is_equal(const json_t *a, const json_t *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    if (is_number(a) && is_number(b))
        return order_numbers(a, b) == 0;
    return json_equal(a, b) != 0;
}

static bool
call_text_method(const struct walk *walk, enum method method, const char *text,
                 const json_t *argument, json_t **ret_value)
{
    const char *other = json_string_value(argument);

    switch (method) {
    case METHOD_LENGTH:
        *ret_value = json_integer(text_length(text));
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
    } else if (is_number(a) && is_number(b)) {
        *ret_order = order_numbers(a, b);
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
print_plain(const json_t *value, char text[REAL_TEXT_BYTES])
{
    if (value == NULL)
        snprintf(text, REAL_TEXT_BYTES, "null");
    else if (json_is_integer(value))
        snprintf(text, REAL_TEXT_BYTES, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        real_print(json_real_value(value), text);
    else if (json_is_boolean(value))
        snprintf(text, REAL_TEXT_BYTES, "%s", json_is_true(value) ? "true" : "false");
    else
        return false;
    return true;
}

static bool
join(const struct walk *walk, const json_t *a, const json_t *b, json_t **ret_value)
{
    char a_plain[REAL_TEXT_BYTES], b_plain[REAL_TEXT_BYTES];
    const char *left = json_string_value(a), *right = json_string_value(b);

    if (left == NULL && print_plain(a, a_plain))
        left = a_plain;
    if (right == NULL && print_plain(b, b_plain))
        right = b_plain;
    if (left == NULL || right == NULL)
        return refuse(walk, "adds to a text what has no text");
    if (strlen(left) + strlen(right) > TEXT_BYTES_MAX)
        return refuse(walk, "makes a text of more than 65536 bytes");
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
    if ((sign == '/' || sign == '%') && right == 0.0)
        return refuse(walk, "divides by zero");
    *ret_value = json_real(sign == '+'   ? left + right
                           : sign == '-' ? left - right
                           : sign == '*' ? left * right
                           : sign == '/' ? left / right
                                         : fmod(left, right));
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
