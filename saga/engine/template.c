#include "saga/engine/template.h"

static bool
has_expression(const json_t *json)
{
    const char *key;
    json_t *value;
    size_t index;

    if (json_is_string(json))
        return json_string_value(json)[0] == '$';
    json_object_foreach((json_t *)json, key, value)
    {
        if (has_expression(value))
            return true;
    }
    json_array_foreach(json, index, value)
    {
        if (has_expression(value))
            return true;
    }
    return false;
}

static enum error
read_items(const json_t *json, struct arena *arena, struct problem *problem,
           struct template *template)
{
    const char *key;
    json_t *value;
    size_t index;

    if (json_is_object(json)) {
        template->kind = TEMPLATE_OBJECT;
        template->items = arena_take(arena, json_object_size(json) * sizeof *template->items);
        json_object_foreach((json_t *)json, key, value)
        {
            struct template *item = &template->items[template->count++];

            item->key = key;
            if (template_read(value, arena, problem, item) != ERR_OK)
                return ERR_BAD_REQUEST;
        }
        return ERR_OK;
    }
    template->kind = TEMPLATE_ARRAY;
    template->items = arena_take(arena, json_array_size(json) * sizeof *template->items);
    json_array_foreach(json, index, value)
    {
        if (template_read(value, arena, problem, &template->items[template->count++]) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

enum error
template_read(const json_t *json, struct arena *arena, struct problem *problem,
              struct template *ret_template)
{
    if (!has_expression(json)) {
        ret_template->kind = TEMPLATE_LITERAL;
        ret_template->literal = json;
        return ERR_OK;
    }
    if (json_is_string(json)) {
        ret_template->kind = TEMPLATE_EXPRESSION;
        return expression_parse(json_string_value(json), arena, problem, &ret_template->expression);
    }
    return read_items(json, arena, problem, ret_template);
}

static enum error
evaluate_items(const struct template *template, const struct expression_scope *scope,
               struct problem *problem, json_t **ret_json)
{
    bool is_object = template->kind == TEMPLATE_OBJECT;
    json_t *json = is_object ? json_object() : json_array();

    for (size_t i = 0; i < template->count; i++) {
        const struct template *item = &template->items[i];
        json_t *value;

        if (template_evaluate(item, scope, problem, &value) != ERR_OK) {
            json_decref(json);
            return ERR_BAD_REQUEST;
        }
        if (!is_object)
            json_array_append_new(json, value == NULL ? json_null() : value);
        else if (value != NULL)
            json_object_set_new(json, item->key, value);
    }
    *ret_json = json;
    return ERR_OK;
}

enum error
template_evaluate(const struct template *template, const struct expression_scope *scope,
                  struct problem *problem, json_t **ret_json)
{
    switch (template->kind) {
    case TEMPLATE_LITERAL:
        *ret_json =
            json_is_null(template->literal) ? NULL : json_incref((json_t *)template->literal);
        return ERR_OK;
    case TEMPLATE_EXPRESSION:
        return expression_evaluate(template->expression, scope, problem, ret_json);
    case TEMPLATE_OBJECT:
    case TEMPLATE_ARRAY:
        break;
    }
    return evaluate_items(template, scope, problem, ret_json);
}
