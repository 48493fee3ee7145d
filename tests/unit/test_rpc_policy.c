/* test_rpc_policy.c -- Who may call what, what a file must be, and that the shipped one forgets no method. */
#include "mesh/base/arena.h"
#include "mesh/base/file.h"
#include "mesh/rpc/policy.h"
#include "tests/support/check.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <stdlib.h>
#include <string.h>

#define DOMAIN "mesh.test"
#define SPIFFE "spiffe://" DOMAIN

static struct rpc_policy *
policy_of(const char *text)
{
    struct rpc_policy *policy = NULL;
    struct problem problem;

    ck_assert_msg(rpc_policy_read(text, strlen(text), DOMAIN, &problem, &policy) == ERR_OK, "%s %s",
                  problem.field, problem.text);
    return policy;
}

/* ---- what it says ---- */

/* clang-format off */
static const char table[] =
    "{\"rules\": ["
    "{\"name\": \"steps\", \"identities\": [\"/saga-svc\"],"
    " \"methods\": [\"m.v1.OrderSagaService/MarkPaid\", \"m.v1.LedgerSagaService/*\"]},"
    "{\"name\": \"frontends\", \"identities\": [\"spiffe://mesh.test/bff\", \"/web/*\"],"
    " \"methods\": [\"m.v1.OrderService/Place\"]},"
    "{\"name\": \"all\", \"identities\": [\"/*\"], \"methods\": [\"m.v1.OrderService/Get\"]}]}";

static const struct {
    const char *identity, *method;
    const char *because; /* NULL: it is let */
} calls[] = {
    { SPIFFE "/saga-svc",  "m.v1.OrderSagaService/MarkPaid", NULL },
    { SPIFFE "/saga-svc",  "m.v1.LedgerSagaService/Charge",  NULL },
    { SPIFFE "/saga-svc",  "m.v1.LedgerSagaService/",        "no rule lets " SPIFFE "/saga-svc call this" },
    { SPIFFE "/saga-svc",  "m.v1.LedgerSagaService2/Charge", "no rule lets " SPIFFE "/saga-svc call this" },
    { SPIFFE "/saga-svc",  "m.v1.OrderSagaService/MarkPai",  "no rule lets " SPIFFE "/saga-svc call this" },
    { SPIFFE "/saga-svc",  "m.v1.OrderSagaService/MarkPaid2", "no rule lets " SPIFFE "/saga-svc call this" },
    { SPIFFE "/saga-svc",  "m.v1.OrderService/Place",        "rule frontends lets others call this, and not " SPIFFE "/saga-svc" },
    { SPIFFE "/saga-svc2", "m.v1.OrderSagaService/MarkPaid", "rule steps lets others call this, and not " SPIFFE "/saga-svc2" },
    { SPIFFE "/saga",      "m.v1.OrderSagaService/MarkPaid", "rule steps lets others call this, and not " SPIFFE "/saga" },
    { SPIFFE "/x/saga-svc", "m.v1.OrderSagaService/MarkPaid", "rule steps lets others call this, and not " SPIFFE "/x/saga-svc" },
    { SPIFFE "/bff",       "m.v1.OrderService/Place",        NULL },
    { SPIFFE "/web/a",     "m.v1.OrderService/Place",        NULL },
    { SPIFFE "/web/",      "m.v1.OrderService/Place",        "rule frontends lets others call this, and not " SPIFFE "/web/" },
    { SPIFFE "/bff",       "m.v1.OrderSagaService/MarkPaid", "rule steps lets others call this, and not " SPIFFE "/bff" },
    { SPIFFE "/bff",       "m.v1.OrderService/Get",          NULL },
    { SPIFFE "/anybody",   "m.v1.OrderService/Get",          NULL },
    { "",                  "m.v1.OrderService/Get",          "rule all lets others call this, and not " },
    { "spiffe://other/bff", "m.v1.OrderService/Get",         "rule all lets others call this, and not spiffe://other/bff" },
};
/* clang-format on */

START_TEST(a_rule_lets_its_identities_call_its_methods)
{
    struct rpc_policy *policy = policy_of(table);
    struct rpc_policy_rules identity = rpc_policy_of_identity(policy, calls[_i].identity);
    struct rpc_policy_rules method = rpc_policy_of_method(policy, calls[_i].method);
    struct problem problem;

    ck_assert_msg(rpc_policy_lets(&identity, &method) == (calls[_i].because == NULL), "%s %s",
                  calls[_i].identity, calls[_i].method);
    if (calls[_i].because != NULL) {
        ck_assert_int_eq(rpc_policy_deny(policy, &method, calls[_i].identity, &problem),
                         ERR_NOT_ALLOWED);
        ck_assert_str_eq(problem.text, calls[_i].because);
        ck_assert_str_eq(problem.reason, "NOT_ALLOWED");
    }
    rpc_policy_free(policy);
}
END_TEST

/* Each rule of as many as there may be is a bit of its own. */
START_TEST(many_rules_are_told_apart)
{
    struct arena *arena = arena_new();
    const char *text = "{\"rules\": [";
    struct rpc_policy *policy;

    for (int i = 0; i < RPC_POLICY_RULES_MAX; i++)
        text = arena_print(arena,
                           "%s%s{\"name\": \"r%d\", \"identities\": [\"/p%d\"], "
                           "\"methods\": [\"m.S/M%d\"]}",
                           text, i == 0 ? "" : ",", i, i, i);
    policy = policy_of(arena_print(arena, "%s]}", text));
    ck_assert_uint_eq(rpc_policy_rule_count(policy), RPC_POLICY_RULES_MAX);
    for (int i = 0; i < RPC_POLICY_RULES_MAX; i++) {
        struct rpc_policy_rules identity =
            rpc_policy_of_identity(policy, arena_print(arena, SPIFFE "/p%d", i));

        for (int j = 0; j < RPC_POLICY_RULES_MAX; j++) {
            struct rpc_policy_rules method =
                rpc_policy_of_method(policy, arena_print(arena, "m.S/M%d", j));

            ck_assert(rpc_policy_lets(&identity, &method) == (i == j));
        }
    }
    rpc_policy_free(policy);
    arena_free(arena);
}
END_TEST

START_TEST(a_policy_without_rules_lets_nobody)
{
    struct rpc_policy *policy = policy_of("{\"rules\": []}");
    struct rpc_policy_rules identity = rpc_policy_of_identity(policy, SPIFFE "/bff");
    struct rpc_policy_rules method = rpc_policy_of_method(policy, "m.v1.OrderService/Get");

    ck_assert(!rpc_policy_lets(&identity, &method));
    rpc_policy_free(policy);
}
END_TEST

/* ---- what is none ---- */

/* clang-format off */
#define RULE(members) "{\"rules\": [{" members "}]}"
#define GOOD "\"identities\": [\"/a\"], \"methods\": [\"m.S/M\"]"
static const struct {
    const char *text, *field, *because;
} bad[] = {
    { "",                                       "policy", "must not be empty" },
    { "[]",                                     "policy", "must be an object with rules" },
    { "{}",                                     "rules", "must be a list of 256 rules at most" },
    { "{\"rules\": {}}",                        "rules", "must be a list of 256 rules at most" },
    { "{\"rules\": [], \"deny\": []}",          "policy", "has a member \"deny\", which a policy does not have" },
    { "{\"rules\": [1]}",                       "rules[0]", "must be an object with name, identities and methods" },
    { RULE("\"name\": \"a\", \"method\": [], " GOOD), "rules[0]", "has a member \"method\", which a policy does not have" },
    { RULE(GOOD),                               "rules[0].name", "must be a text: refusals tell it" },
    { RULE("\"name\": \"a b\", " GOOD),         "rules[0].name", NULL },
    { RULE("\"name\": \"\", " GOOD),            "rules[0].name", NULL },
    { "{\"rules\": [{\"name\": \"a\", " GOOD "}, {\"name\": \"a\", " GOOD "}]}", "rules[1].name", "must be another than that of rules[0]" },
    { RULE("\"name\": \"a\", \"methods\": [\"m.S/M\"]"), "rules[0].identities", "must be a list of 1 to 1024 texts" },
    { RULE("\"name\": \"a\", \"identities\": [], \"methods\": [\"m.S/M\"]"), "rules[0].identities", "must be a list of 1 to 1024 texts" },
    { RULE("\"name\": \"a\", \"identities\": \"/a\", \"methods\": [\"m.S/M\"]"), "rules[0].identities", "must be a list of 1 to 1024 texts" },
    { RULE("\"name\": \"a\", \"identities\": [\"/a\", 7], \"methods\": [\"m.S/M\"]"), "rules[0].identities[1]", "must be a text of 2048 bytes at most" },
    { RULE("\"name\": \"a\", \"identities\": [\"bff\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be a path, \"/bff\", or a URI, \"spiffe://DOMAIN/bff\"" },
    { RULE("\"name\": \"a\", \"identities\": [\"\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be a path, \"/bff\", or a URI, \"spiffe://DOMAIN/bff\"" },
    { RULE("\"name\": \"a\", \"identities\": [\"*\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be a path, \"/bff\", or a URI, \"spiffe://DOMAIN/bff\"" },
    { RULE("\"name\": \"a\", \"identities\": [\"/\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be a path, \"/bff\", or a URI, \"spiffe://DOMAIN/bff\"" },
    { RULE("\"name\": \"a\", \"identities\": [\"/*/bff\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must have a * at its end only" },
    { RULE("\"name\": \"a\", \"identities\": [\"spiffe://other/bff\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be of the trust domain mesh.test: programs of others are not let in" },
    { RULE("\"name\": \"a\", \"identities\": [\"spiffe://mesh.test.org/bff\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be of the trust domain mesh.test: programs of others are not let in" },
    { RULE("\"name\": \"a\", \"identities\": [\"spiffe://mesh.test/\"], \"methods\": [\"m.S/M\"]"), "rules[0].identities[0]", "must be of the trust domain mesh.test: programs of others are not let in" },
    { RULE("\"name\": \"a\", \"identities\": [\"/a\"]"), "rules[0].methods", "must be a list of 1 to 1024 texts" },
#define METHOD(text) RULE("\"name\": \"a\", \"identities\": [\"/a\"], \"methods\": [" text "]"), "rules[0].methods[0]", "must be \"package.Service/Method\" or \"package.Service/*\""
    { METHOD("\"*\"") },
    { METHOD("\"\"") },
    { METHOD("\"m.S\"") },
    { METHOD("\"m.S/\"") },
    { METHOD("\"m.S/M*\"") },
    { METHOD("\"m.*/M\"") },
    { METHOD("\"/m.S/M\"") },
    { METHOD("\"S/M\"") },
    { METHOD("\"m./M\"") },
    { METHOD("\"m.S/M/N\"") },
    { METHOD("\"m.S/M N\"") },
};
/* clang-format on */

START_TEST(what_is_no_policy_is_refused_by_field_and_rule)
{
    struct rpc_policy *policy = NULL;
    struct problem problem;

    ck_assert_int_eq(rpc_policy_read(bad[_i].text, strlen(bad[_i].text), DOMAIN, &problem, &policy),
                     ERR_BAD_REQUEST);
    ck_assert_ptr_null(policy);
    ck_assert_str_eq(problem.field, bad[_i].field);
    if (bad[_i].because != NULL)
        ck_assert_str_eq(problem.text, bad[_i].because);
}
END_TEST

/* ---- the shipped one ---- */

extern const uint8_t descriptor_set_start[], descriptor_set_end[];

/* Those that every identity may call, whatever the policy says (server.h). */
static bool
is_for_all(const char *package)
{
    return strcmp(package, "sagamesh.batch.v1") == 0 || strcmp(package, "sagamesh.clock.v1") == 0;
}

/* clang-format off */
static const struct {
    const char *identity, *method;
    bool is_let;
} shipped[] = {
    { SPIFFE "/saga-svc",    "sagamesh.order.v1.OrderSagaService/MarkPaid",   true },
    { SPIFFE "/saga-svc",    "sagamesh.ledger.v1.LedgerSagaService/Charge",   true },
    { SPIFFE "/saga-svc",    "sagamesh.payment.v1.PaymentSagaService/Settle", false },
    { SPIFFE "/bff",         "sagamesh.order.v1.OrderService/Place",          true },
    { SPIFFE "/bff",         "sagamesh.order.v1.OrderSagaService/MarkPaid",   false },
    { SPIFFE "/bff",         "sagamesh.ledger.v1.LedgerSagaService/Charge",   false },
    { SPIFFE "/bff",         "sagamesh.saga.v1.SagaControlService/Signal",    false },
    { SPIFFE "/bff",         "sagamesh.payment.v1.PaymentService/ListAll",    false },
    { SPIFFE "/order-svc",   "sagamesh.saga.v1.SagaControlService/Start",     true },
    { SPIFFE "/order-svc",   "sagamesh.saga.v1.SagaControlService/Signal",    false },
    { SPIFFE "/account-svc", "sagamesh.saga.v1.SagaControlService/Signal",    true },
    { SPIFFE "/account-svc", "sagamesh.order.v1.OrderSagaService/MarkPaid",   false },
    { SPIFFE "/alerts-svc",  "sagamesh.order.v1.OrderService/Get",            false },
    { SPIFFE "/sagactl",     "sagamesh.saga.v1.SagaControlService/Retry",     true },
};
/* clang-format on */

static struct rpc_policy *
shipped_policy(void)
{
    struct arena *arena = arena_new();
    char path[CHECK_PATH_BYTES];
    struct rpc_policy *policy;
    const char *text;

    check_path("packaging/policy.json", path);
    text = file_read(path, RPC_POLICY_BYTES_MAX, arena);
    ck_assert_ptr_nonnull(text);
    policy = policy_of(text);
    arena_free(arena);
    return policy;
}

START_TEST(the_shipped_policy_lets_each_program_do_its_own)
{
    struct rpc_policy *policy = shipped_policy();
    struct rpc_policy_rules identity = rpc_policy_of_identity(policy, shipped[_i].identity);
    struct rpc_policy_rules method = rpc_policy_of_method(policy, shipped[_i].method);

    ck_assert_msg(rpc_policy_lets(&identity, &method) == shipped[_i].is_let, "%s %s",
                  shipped[_i].identity, shipped[_i].method);
    rpc_policy_free(policy);
}
END_TEST

/* A method that is new in a .proto is denied to all until somebody decides who may call it: here it is noticed. */
START_TEST(the_shipped_policy_names_every_method)
{
    Google__Protobuf__FileDescriptorSet *set = google__protobuf__file_descriptor_set__unpack(
        NULL, (size_t)(descriptor_set_end - descriptor_set_start), descriptor_set_start);
    struct rpc_policy *policy = shipped_policy();
    struct arena *arena = arena_new();
    int methods = 0;

    ck_assert_ptr_nonnull(set);
    for (size_t i = 0; i < set->n_file; i++) {
        const Google__Protobuf__FileDescriptorProto *file = set->file[i];

        if (strncmp(file->package, "sagamesh.", 9) != 0 || is_for_all(file->package))
            continue;
        for (size_t j = 0; j < file->n_service; j++) {
            for (size_t k = 0; k < file->service[j]->n_method; k++, methods++) {
                const char *name =
                    arena_print(arena, "%s.%s/%s", file->package, file->service[j]->name,
                                file->service[j]->method[k]->name);
                struct rpc_policy_rules rules = rpc_policy_of_method(policy, name), none = { 0 };

                ck_assert_msg(memcmp(&rules, &none, sizeof rules) != 0,
                              "packaging/policy.json: no rule names %s", name);
            }
        }
    }
    ck_assert_int_gt(methods, 50);
    arena_free(arena);
    rpc_policy_free(policy);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}
END_TEST

int
main(void)
{
    TCase *rules = check_case("rules"), *files = check_case("files"), *ours = check_case("shipped");

    tcase_add_loop_test(rules, a_rule_lets_its_identities_call_its_methods, 0, ROWS(calls));
    tcase_add_test(rules, many_rules_are_told_apart);
    tcase_add_test(rules, a_policy_without_rules_lets_nobody);
    tcase_add_loop_test(files, what_is_no_policy_is_refused_by_field_and_rule, 0, ROWS(bad));
    tcase_add_loop_test(ours, the_shipped_policy_lets_each_program_do_its_own, 0, ROWS(shipped));
    tcase_add_test(ours, the_shipped_policy_names_every_method);
    return check_run("rpc_policy", rules, files, ours);
}
