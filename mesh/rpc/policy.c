/* policy.c -- The file as two lists of patterns, each of which knows its rule. */
#include "mesh/rpc/policy.h"

#include "mesh/base/arena.h"
#include "mesh/base/check.h"
#include "mesh/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "spiffe://"
enum { NAME_BYTES_MAX = 64, TEXT_BYTES_MAX = 2048 };

/* A text that is equal, or begins so. */
struct pattern {
    const char *text;
    size_t bytes;
    bool is_begin;
    size_t rule;
};

struct patterns {
    struct pattern *rows;
    size_t count;
};

struct rpc_policy {
    struct arena *arena; /* of all texts, and of the policy itself */
    const char *names[RPC_POLICY_RULES_MAX];
    size_t rule_count;
    struct patterns identities, methods;
};

/* ---- reading ---- */

struct reader {
    struct rpc_policy *policy;
    const char *domain;
    struct problem *problem;
    char field[64]; /* that is read now: "rules[2].methods[0]" */
};

static enum error
refuse(struct reader *reader, const char *rule)
{
    return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field, "%s", rule);
}

/* Refuses a member of the object that is none of the three: else a misspelt one would deny calls without a word. */
static enum error
check_members(struct reader *reader, const json_t *object, const char *const members[3])
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;

        while (i < 3 && (members[i] == NULL || strcmp(members[i], key) != 0))
            i++;
        if (i == 3)
            return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                               "has a member \"%.64s\", which a policy does not have", key);
    }
    return ERR_OK;
}

/* "package.Service/Method", or with a star for the method. */
static bool
is_method(const char *text)
{
    const char *slash = strchr(text, '/'), *dot = strchr(text, '.');
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    const char *method = slash == NULL ? "" : slash + 1;

    return slash != NULL && dot != NULL && dot < slash && dot > text && slash[-1] != '.' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") ==
               (size_t)(slash - text) &&
           (strcmp(method, "*") == 0 ||
            (method[0] != '\0' && strspn(method, letters) == strlen(method)));
}

static enum error
method_read(struct reader *reader, const char *text, const char **ret_text)
{
    *ret_text = text;
    return is_method(text)
               ? ERR_OK
               : refuse(reader, "must be \"package.Service/Method\" or \"package.Service/*\"");
}

/* The whole URI of one that may be a path. */
static enum error
identity_read(struct reader *reader, const char *text, const char **ret_text)
{
    size_t scheme = strlen(SCHEME), domain = strlen(reader->domain);
    const char *star = strchr(text, '*');

    if (star != NULL && star[1] != '\0')
        return refuse(reader, "must have a * at its end only");
    *ret_text = text;
    if (text[0] == '/' && text[1] != '\0') {
        *ret_text = arena_print(reader->policy->arena, SCHEME "%s%s", reader->domain, text);
        return ERR_OK;
    }
    if (strncmp(text, SCHEME, scheme) != 0)
        return refuse(reader, "must be a path, \"/bff\", or a URI, \"spiffe://DOMAIN/bff\"");
    if (strncmp(text + scheme, reader->domain, domain) == 0 && text[scheme + domain] == '/' &&
        text[scheme + domain + 1] != '\0')
        return ERR_OK;
    return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                       "must be of the trust domain %.64s: programs of others are not let in",
                       reader->domain);
}

/* The list of texts of a rule's member, which may not be empty. */
static enum error
list_read(struct reader *reader, const json_t *rule, size_t index, const char *member,
          enum error (*read)(struct reader *reader, const char *text, const char **ret_text),
          struct patterns *patterns)
{
    const json_t *list = json_object_get(rule, member), *value;
    size_t i;

    snprintf(reader->field, sizeof reader->field, "rules[%zu].%s", index, member);
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > RPC_POLICY_NAMES_MAX)
        return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                           "must be a list of 1 to %d texts", RPC_POLICY_NAMES_MAX);
    patterns->rows = memory_grow(patterns->rows, (patterns->count + json_array_size(list)) *
                                                     sizeof *patterns->rows);
    json_array_foreach(list, i, value)
    {
        struct pattern *row = &patterns->rows[patterns->count];
        const char *text = json_string_value(value);

        snprintf(reader->field, sizeof reader->field, "rules[%zu].%s[%zu]", index, member, i);
        if (text == NULL || json_string_length(value) > TEXT_BYTES_MAX)
            return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                               "must be a text of %d bytes at most", TEXT_BYTES_MAX);
        if (read(reader, text, &text) != ERR_OK)
            return reader->problem->error;
        row->bytes = strlen(text);
        row->text = arena_copy(reader->policy->arena, text, row->bytes);
        row->is_begin = text[row->bytes - 1] == '*';
        row->bytes -= row->is_begin;
        row->rule = index;
        patterns->count++;
    }
    return ERR_OK;
}

/* Names are told to callers and logged, so each is one word, and no two are the same. */
static enum error
name_read(struct reader *reader, const json_t *rule, size_t index)
{
    struct rpc_policy *policy = reader->policy;
    const char *name = json_string_value(json_object_get(rule, "name"));

    snprintf(reader->field, sizeof reader->field, "rules[%zu].name", index);
    if (name == NULL)
        return refuse(reader, "must be a text: refusals tell it");
    if (check_word(reader->problem, reader->field, name, NAME_BYTES_MAX) != ERR_OK)
        return reader->problem->error;
    for (size_t i = 0; i < index; i++) {
        if (strcmp(policy->names[i], name) == 0)
            return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                               "must be another than that of rules[%zu]", i);
    }
    policy->names[index] = arena_copy(policy->arena, name, strlen(name));
    return ERR_OK;
}

static enum error
rule_read(struct reader *reader, const json_t *rule, size_t index)
{
    static const char *const members[3] = { "name", "identities", "methods" };
    struct rpc_policy *policy = reader->policy;
    enum error error;

    snprintf(reader->field, sizeof reader->field, "rules[%zu]", index);
    if (!json_is_object(rule))
        return refuse(reader, "must be an object with name, identities and methods");
    error = check_members(reader, rule, members);
    if (error == ERR_OK)
        error = name_read(reader, rule, index);
    if (error == ERR_OK)
        error = list_read(reader, rule, index, "identities", identity_read, &policy->identities);
    if (error == ERR_OK)
        error = list_read(reader, rule, index, "methods", method_read, &policy->methods);
    return error;
}

static enum error
rules_read(struct reader *reader, const json_t *json)
{
    static const char *const members[3] = { "rules", NULL, NULL };
    const json_t *rules = json_object_get(json, "rules"), *rule;
    size_t i;

    snprintf(reader->field, sizeof reader->field, "policy");
    if (!json_is_object(json))
        return refuse(reader, "must be an object with rules");
    if (check_members(reader, json, members) != ERR_OK)
        return reader->problem->error;
    snprintf(reader->field, sizeof reader->field, "rules");
    if (!json_is_array(rules) || json_array_size(rules) > RPC_POLICY_RULES_MAX)
        return problem_set(reader->problem, ERR_BAD_REQUEST, reader->field,
                           "must be a list of %d rules at most", RPC_POLICY_RULES_MAX);
    json_array_foreach(rules, i, rule)
    {
        if (rule_read(reader, rule, i) != ERR_OK)
            return reader->problem->error;
        reader->policy->rule_count = i + 1;
    }
    return ERR_OK;
}

enum error
rpc_policy_read(const char *text, size_t bytes, const char *domain, struct problem *problem,
                struct rpc_policy **ret_policy)
{
    struct reader reader = { .domain = domain, .problem = problem };
    json_t *json;
    enum error error = json_read(text, bytes, "policy", problem, &json);

    if (error != ERR_OK)
        return error;
    reader.policy = memory_take(sizeof *reader.policy);
    reader.policy->arena = arena_new();
    error = rules_read(&reader, json);
    json_decref(json);
    if (error == ERR_OK)
        *ret_policy = reader.policy;
    else
        rpc_policy_free(reader.policy);
    return error;
}

void
rpc_policy_free(void *data)
{
    struct rpc_policy *policy = data;

    if (policy == NULL)
        return;
    free(policy->identities.rows);
    free(policy->methods.rows);
    arena_free(policy->arena);
    free(policy);
}

/* ---- what it says ---- */

size_t
rpc_policy_rule_count(const struct rpc_policy *policy)
{
    return policy->rule_count;
}

/* One look at all patterns, which is why who asks for each call keeps the result. */
static struct rpc_policy_rules
rules_of(const struct patterns *patterns, const char *text)
{
    struct rpc_policy_rules rules = { 0 };
    size_t bytes = strlen(text);

    for (size_t i = 0; i < patterns->count; i++) {
        const struct pattern *row = &patterns->rows[i];

        if ((row->is_begin ? bytes > row->bytes : bytes == row->bytes) &&
            memcmp(text, row->text, row->bytes) == 0)
            rules.words[row->rule / 64] |= UINT64_C(1) << row->rule % 64;
    }
    return rules;
}

struct rpc_policy_rules
rpc_policy_of_identity(const struct rpc_policy *policy, const char *identity)
{
    return rules_of(&policy->identities, identity);
}

struct rpc_policy_rules
rpc_policy_of_method(const struct rpc_policy *policy, const char *method)
{
    return rules_of(&policy->methods, method);
}

enum error
rpc_policy_deny(const struct rpc_policy *policy, const struct rpc_policy_rules *method,
                const char *identity, struct problem *problem)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        if ((method->words[i / 64] >> i % 64 & 1) != 0)
            return problem_set(problem, ERR_NOT_ALLOWED, NULL,
                               "rule %s lets others call this, and not %s", policy->names[i],
                               identity);
    }
    return problem_set(problem, ERR_NOT_ALLOWED, NULL, "no rule lets %s call this", identity);
}
