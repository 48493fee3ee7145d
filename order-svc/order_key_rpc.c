/* order_key_rpc.c -- StoreAnswer and ReleaseKey as their callers see them. */
#include "order-svc/order_key_rpc.h"
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "order-svc/order.h"

#include "sagamesh/order/v1/order_service.pb-c.h"

/* What sets the fingerprints of methods with the same fields apart; order_rpc.c's come before. */
enum { SALT_STORE_ANSWER = 5, SALT_RELEASE_KEY };

/* ---- StoreAnswer ---- */

enum error
store_answer_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__StoreAnswerRequest *request =
        (const Sagamesh__Order__V1__StoreAnswerRequest *)message;
    struct store_answer *answer = op;
    struct problem *problem = &answer->op.problem;

    answer->http_status = request->http_status;
    answer->body = (struct pg_bytes){ request->body.data, request->body.len };
    if (check_id(problem, "request_id", request->request_id, &answer->op.id) != ERR_OK ||
        check_text(problem, "scope", request->scope, 1, SCOPE_BYTES_MAX) != ERR_OK ||
        check_text(problem, "key", request->key, 1, KEY_BYTES_MAX) != ERR_OK ||
        check_id(problem, "order_id", request->order_id, &answer->order_id) != ERR_OK ||
        check_range(problem, "http_status", answer->http_status, 200, 599) != ERR_OK)
        return problem->error;
    if (answer->body.count > ANSWER_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "body", "must have %d bytes at most, not %zu",
                           ANSWER_BYTES_MAX, answer->body.count);
    answer->key = idempotency_key(arena, request->scope, request->key);
    answer->op.fingerprint = hash_end(hash_text(HASH_SEED + SALT_STORE_ANSWER, answer->key));
    return ERR_OK;
}

ProtobufCMessage *
store_answer_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__StoreAnswerResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__store_answer_response__init(response);
    response->is_stored = ((const struct store_answer *)op)->is_stored;
    return &response->base;
}

/* ---- ReleaseKey ---- */

enum error
release_key_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__ReleaseKeyRequest *request =
        (const Sagamesh__Order__V1__ReleaseKeyRequest *)message;
    struct release_key *release = op;
    struct problem *problem = &release->op.problem;

    if (check_id(problem, "request_id", request->request_id, &release->op.id) != ERR_OK ||
        check_text(problem, "scope", request->scope, 1, SCOPE_BYTES_MAX) != ERR_OK ||
        check_text(problem, "key", request->key, 1, KEY_BYTES_MAX) != ERR_OK ||
        check_id(problem, "claimed_by", request->claimed_by, &release->claimed_by) != ERR_OK)
        return problem->error;
    release->key = idempotency_key(arena, request->scope, request->key);
    release->op.fingerprint = hash_end(hash_text(HASH_SEED + SALT_RELEASE_KEY, release->key));
    return ERR_OK;
}

ProtobufCMessage *
release_key_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__ReleaseKeyResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__release_key_response__init(response);
    response->is_free = ((const struct release_key *)op)->is_free;
    return &response->base;
}
