/* fuzz_body.c -- What strangers send to bff: a body, an Idempotency-Key, a bearer token.
 *
 * The first byte chooses. What is refused must say so in UTF-8, with a pointer; no token is good, since
 * nobody has the key.
 */
#include "mesh/base/clock.h"
#include "mesh/base/utf8.h"
#include "mesh/http/auth.h"
#include "mesh/http/body.h"
#include "mesh/http/read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SET                                                                                        \
    "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":"                                             \
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}"

struct row {
    const char *sku;
    int64_t quantity;
};

struct inner {
    const char *method;
};

struct outer {
    const char *currency;
    struct body_list items;
    struct inner *payment;
};

/* clang-format off */
static const struct body_field row_fields[] = {
    { "sku",      BODY_TEXT,   true,  offsetof(struct row, sku),        .fields = NULL },
    { "quantity", BODY_INT,    true,  offsetof(struct row, quantity),   .fields = NULL },
    { 0 },
};
static const struct body_field inner_fields[] = {
    { "method",   BODY_TEXT,   true,  offsetof(struct inner, method),   .fields = NULL },
    { 0 },
};
static const struct body_field outer_fields[] = {
    { "currency", BODY_TEXT,   true,  offsetof(struct outer, currency), .fields = NULL },
    { "items",    BODY_LIST,   true,  offsetof(struct outer, items),    .fields = row_fields,   .struct_bytes = sizeof(struct row), .rows_min = 1, .rows_max = 100 },
    { "payment",  BODY_OBJECT, false, offsetof(struct outer, payment),  .fields = inner_fields, .struct_bytes = sizeof(struct inner) },
    { 0 },
};
/* clang-format on */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
as_body(const uint8_t *data, size_t size, struct arena *arena)
{
    struct outer outer = { 0 };
    struct body_problem problem = { 0 };

    if (body_read(data, size, outer_fields, &outer, arena, &problem)) {
        assert(outer.currency != NULL && outer.items.count >= 1);
        return;
    }
    assert(problem.pointer[0] == '\0' || problem.pointer[0] == '/');
    assert(utf8_is_valid(problem.pointer, strlen(problem.pointer)));
    assert(utf8_is_valid(problem.detail, strlen(problem.detail)));
}

static void
as_token(const char *text)
{
    static struct auth *auth;
    struct principal principal;
    struct problem problem;
    struct auth_refusal refusal = { 0 };

    if (auth == NULL && auth_open(SET, strlen(SET), &problem, &auth) != ERR_OK)
        abort();
    if (auth_check(auth, text, clock_now_us(), &principal, &refusal))
        abort();
    assert(refusal.because != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    const char *because = NULL;

    if (size > 0 && data[0] == 'k') {
        const char *text = arena_copy(arena, (const char *)data + 1, size - 1);

        if (idempotency_key_read(text, arena, &because) == NULL)
            assert(because != NULL);
    } else if (size > 0 && data[0] == 't') {
        as_token(
            arena_print(arena, "Bearer %s", arena_copy(arena, (const char *)data + 1, size - 1)));
    } else if (size > 0) {
        as_body(data + 1, size - 1, arena);
    }
    arena_free(arena);
    return 0;
}
