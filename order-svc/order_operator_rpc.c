/* order_operator_rpc.c -- What operators ask of order-svc: AskSaga, ListOpen. */
#include "order-svc/order_operator_rpc.h"
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "order-svc/order_message.h"

/* What sets the fingerprints of methods with the same fields apart; order_key_rpc.c's come before. */
enum { SALT_ASK_SAGA = 7 };

/* ---- AskSaga ---- */

enum error
ask_saga_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__AskSagaRequest *request =
        (const Sagamesh__Order__V1__AskSagaRequest *)message;
    struct ask_saga *ask = op;
    struct problem *problem = &ask->op.problem;

    (void)arena;
    ask->comment = request->comment;
    if (check_id(problem, "request_id", request->request_id, &ask->op.id) != ERR_OK ||
        check_id(problem, "order_id", request->order_id, &ask->order_id) != ERR_OK ||
        check_text(problem, "comment", ask->comment, 0, COMMENT_BYTES_MAX) != ERR_OK)
        return problem->error;
    ask->op.fingerprint =
        hash_end(hash_text(hash_text(HASH_SEED + SALT_ASK_SAGA, request->order_id), ask->comment));
    return ERR_OK;
}

ProtobufCMessage *
ask_saga_encode(const void *op, struct arena *arena)
{
    Sagamesh__Order__V1__AskSagaResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__ask_saga_response__init(response);
    response->status =
        (Sagamesh__Order__V1__OrderStatus)((const struct ask_saga *)op)->order.status;
    return &response->base;
}

/* ---- ListOpen ---- */

enum error
list_open_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Order__V1__ListOpenRequest *request =
        (const Sagamesh__Order__V1__ListOpenRequest *)message;
    struct list_open *list = op;
    struct problem *problem = &list->op.problem;

    (void)arena;
    if (check_page_id(problem, request->page_token, &list->before_id) != ERR_OK)
        return problem->error;
    return check_page_size(problem, request->page_size, &list->page_size);
}

ProtobufCMessage *
list_open_encode(const void *op, struct arena *arena)
{
    const struct list_open *list = op;
    Sagamesh__Order__V1__ListOpenResponse *response = arena_take(arena, sizeof *response);

    sagamesh__order__v1__list_open_response__init(response);
    response->orders = order_messages(list->orders, list->count, arena, &response->n_orders);
    if (response->n_orders < list->count)
        response->next_page_token = response->orders[response->n_orders - 1]->order_id;
    else if (list->has_more)
        response->next_page_token =
            uuid_print(list->next_id, arena_take(arena, UUID_TEXT_BYTES + 1));
    return &response->base;
}
