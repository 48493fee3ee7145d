/* json_pick.c -- A tree of the wanted members, over json_scan.h. */
#include "mesh/base/json_pick.h"
#include "mesh/base/json_scan.h"

#include <assert.h>

/* A text that is being picked from. */
struct pick {
    struct json_scan scan;
    const char *twice; /* the wanted member that comes twice */
};

/* ---- the wanted members ---- */

static const struct json_want *
want_find(const struct json_want *wanted, const struct json_key *key)
{
    for (; wanted->key != NULL; wanted++) {
        if (json_key_is(key, wanted->key))
            return wanted;
    }
    return NULL;
}

static json_t *pick_value(struct pick *pick, const struct json_want *want);

/* The value of a member. */
static bool
pick_member(struct pick *pick, const struct json_want *wanted, const struct json_key *key,
            json_t *object)
{
    const struct json_want *want = want_find(wanted, key);
    json_t *value;

    if (want == NULL)
        return json_scan_value(&pick->scan);
    if (json_object_get(object, want->key) != NULL) {
        pick->twice = want->key;
        return json_scan_fail(&pick->scan, "comes twice");
    }
    value = pick_value(pick, want);
    return value != NULL && json_object_set_new(object, want->key, value) == 0;
}

/* NULL: with the reason. */
static json_t *
pick_end(struct pick *pick, json_t *json)
{
    if (pick->scan.why == NULL)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *
pick_object(struct pick *pick, const struct json_want *wanted)
{
    json_t *object = json_object();
    struct json_key key;
    size_t count = 0;

    while (json_scan_member(&pick->scan, &count, &key) && pick_member(pick, wanted, &key, object))
        continue;
    return pick_end(pick, object);
}

static json_t *
pick_array(struct pick *pick, const struct json_want *wanted)
{
    json_t *array = json_array();
    size_t count = 0;

    while (json_scan_element(&pick->scan, &count)) {
        json_t *element = json_scan_peek(&pick->scan) == '{' ? pick_object(pick, wanted)
                          : json_scan_value(&pick->scan)     ? json_null()
                                                             : NULL;

        if (element == NULL || json_array_append_new(array, element) != 0)
            break;
    }
    return pick_end(pick, array);
}

static json_t *
pick_value(struct pick *pick, const struct json_want *want)
{
    char first = json_scan_peek(&pick->scan);
    const char *begin = pick->scan.at;
    json_t *value = NULL;

    if (want->members != NULL && first == '{')
        return pick_object(pick, want->members);
    if (want->members != NULL && first == '[')
        return pick_array(pick, want->members);
    if (!json_scan_value(&pick->scan))
        return NULL;
    if (want->members == NULL && first != '{' && first != '[')
        value = json_loadb(begin, (size_t)(pick->scan.at - begin), JSON_DECODE_ANY, NULL);
    return value == NULL ? json_null() : value;
}

/* ---- the whole ---- */

enum error
json_pick(const char *text, size_t bytes, const struct json_want *wanted, const char *field,
          struct problem *problem, json_t **ret_json)
{
    struct pick pick = { .twice = NULL };
    struct json_scan *scan = &pick.scan;
    json_t *json = NULL;

    if (json_scan_begin(scan, text, bytes))
        json = pick_object(&pick, wanted);
    if (json != NULL && !json_scan_end(scan))
        json = pick_end(&pick, json);
    assert((json == NULL) == (scan->why != NULL));
    if (json == NULL && pick.twice != NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "cannot be read: '%s' %s", pick.twice,
                           scan->why);
    if (json == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "cannot be read: %s, at byte %zu",
                           scan->why, (size_t)(scan->at - scan->begin));
    *ret_json = json;
    return ERR_OK;
}
