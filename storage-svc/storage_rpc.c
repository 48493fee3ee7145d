/* storage_rpc.c -- Storage as its callers see it.
 *
 * A row of storage_methods is the life of one request, left to right:
 *   decode   wire message -> valid op              rpc thread    here
 *   touch    names the rows the op will need       store thread  storage.c
 *   decide   op + rows -> changed rows             store thread  storage.c
 *   answer   rows -> what the op reports           store thread  storage.c
 *   encode   the op -> wire message                after COMMIT  here
 * Reads have no touch, decide and answer; storage_reads (storage_store.c) has theirs.
 */
#include "mesh/base/check.h"
#include "mesh/base/hash.h"
#include "storage-svc/storage.h"

#include "sagamesh/storage/v1/storage_service.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- products ---- */

static Sagamesh__Storage__V1__Product *
product_message(const struct product *product, struct arena *arena)
{
    Sagamesh__Storage__V1__Product *message = arena_take(arena, sizeof *message);

    sagamesh__storage__v1__product__init(message);
    message->sku = (char *)product->sku;
    message->currency = (char *)product->currency;
    message->unit_price_minor = product->unit_price_minor;
    message->on_hand = product->on_hand;
    message->free = product->free;
    message->held = product->held;
    message->sold = product->sold;
    return message;
}

static enum error
put_product_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__PutProductRequest *request =
        (const Sagamesh__Storage__V1__PutProductRequest *)message;
    struct put_product *put = op;
    struct problem *problem = &put->op.problem;

    (void)arena;
    put->sku = request->sku;
    put->currency = request->currency;
    put->unit_price_minor = request->unit_price_minor;
    put->op.fingerprint = hash_end(
        hash_int(hash_text(hash_text(HASH_SEED, put->sku), put->currency), put->unit_price_minor));
    if (check_id(problem, "request_id", request->request_id, &put->op.id) != ERR_OK ||
        check_word(problem, "sku", put->sku, SKU_BYTES_MAX) != ERR_OK ||
        check_range(problem, "unit_price_minor", put->unit_price_minor, 0, PRICE_MINOR_MAX) !=
            ERR_OK)
        return problem->error;
    return check_currency(problem, "currency", put->currency);
}

static ProtobufCMessage *
put_product_encode(const void *op, struct arena *arena)
{
    Sagamesh__Storage__V1__PutProductResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__put_product_response__init(response);
    response->product = product_message(&((const struct put_product *)op)->product, arena);
    return &response->base;
}

static enum error
restock_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__RestockRequest *request =
        (const Sagamesh__Storage__V1__RestockRequest *)message;
    struct restock *restock = op;
    struct problem *problem = &restock->op.problem;

    (void)arena;
    restock->sku = request->sku;
    restock->quantity = request->quantity;
    restock->op.fingerprint =
        hash_end(hash_int(hash_text(HASH_SEED + 1, restock->sku), restock->quantity));
    if (check_id(problem, "request_id", request->request_id, &restock->op.id) != ERR_OK ||
        check_word(problem, "sku", restock->sku, SKU_BYTES_MAX) != ERR_OK ||
        check_range(problem, "quantity", restock->quantity, -RESTOCK_MAX, RESTOCK_MAX) != ERR_OK)
        return problem->error;
    if (restock->quantity == 0)
        return problem_set(problem, ERR_BAD_REQUEST, "quantity", "must not be 0");
    return ERR_OK;
}

static ProtobufCMessage *
restock_encode(const void *op, struct arena *arena)
{
    Sagamesh__Storage__V1__RestockResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__restock_response__init(response);
    response->product = product_message(&((const struct restock *)op)->product, arena);
    return &response->base;
}

/* ---- Reserve ---- */

static enum error
line_decode(const Sagamesh__Storage__V1__ReserveLine *wire, struct reserve *reserve, size_t i)
{
    struct line *line = &reserve->lines[i];
    struct problem *problem = &reserve->op.problem;
    char field[64];

    snprintf(field, sizeof field, "lines[%zu].sku", i);
    if (check_word(problem, field, wire->sku, SKU_BYTES_MAX) != ERR_OK)
        return problem->error;
    snprintf(line->sku, sizeof line->sku, "%s", wire->sku);
    line->quantity = wire->quantity;
    for (size_t j = 0; j < i; j++) {
        if (strcmp(reserve->lines[j].sku, line->sku) == 0)
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "'%s' stands in lines[%zu] already: add the quantities", line->sku,
                               j);
    }
    snprintf(field, sizeof field, "lines[%zu].quantity", i);
    return check_range(problem, field, line->quantity, 1, QUANTITY_MAX);
}

static uint64_t
reserve_fingerprint(const struct reserve *reserve)
{
    uint64_t hash = hash_int(HASH_SEED + 2, reserve->hold_seconds);

    hash = hash_text(hash_text(hash, reserve->reference), reserve->currency);
    for (size_t i = 0; i < reserve->line_count; i++)
        hash = hash_int(hash_text(hash, reserve->lines[i].sku), reserve->lines[i].quantity);
    return hash_end(hash);
}

static enum error
reserve_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ReserveRequest *request =
        (const Sagamesh__Storage__V1__ReserveRequest *)message;
    struct reserve *reserve = op;
    struct problem *problem = &reserve->op.problem;

    reserve->reference = request->reference;
    reserve->currency = request->currency;
    reserve->hold_seconds = request->hold_seconds;
    reserve->line_count = request->n_lines;
    if (check_id(problem, "request_id", request->request_id, &reserve->op.id) != ERR_OK ||
        check_text(problem, "reference", reserve->reference, 0, REFERENCE_BYTES_MAX) != ERR_OK ||
        check_range(problem, "hold_seconds", reserve->hold_seconds, 1, HOLD_SECONDS_MAX) != ERR_OK)
        return problem->error;
    if (reserve->currency[0] != '\0' &&
        check_currency(problem, "currency", reserve->currency) != ERR_OK)
        return problem->error;
    if (request->n_lines < 1 || request->n_lines > LINES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "lines", "must be 1 to %d, not %zu", LINES_MAX,
                           request->n_lines);
    reserve->lines = arena_take(arena, request->n_lines * sizeof *reserve->lines);
    for (size_t i = 0; i < request->n_lines; i++) {
        if (line_decode(request->lines[i], reserve, i) != ERR_OK)
            return problem->error;
    }
    reserve->op.fingerprint = reserve_fingerprint(reserve);
    return ERR_OK;
}

static Sagamesh__Storage__V1__PricedLine **
lines_message(const char *lines, struct arena *arena, size_t *ret_count)
{
    Sagamesh__Storage__V1__PricedLine **list =
        arena_take(arena, LINES_MAX * sizeof(Sagamesh__Storage__V1__PricedLine *));
    struct line line;
    size_t count = 0;

    while (line_next(&lines, &line)) {
        Sagamesh__Storage__V1__PricedLine *message = arena_take(arena, sizeof *message);

        sagamesh__storage__v1__priced_line__init(message);
        message->sku = arena_copy(arena, line.sku, strlen(line.sku));
        message->quantity = line.quantity;
        message->unit_price_minor = line.unit_price_minor;
        list[count++] = message;
    }
    *ret_count = count;
    return list;
}

static ProtobufCMessage *
reserve_encode(const void *op, struct arena *arena)
{
    const struct hold *hold = &((const struct reserve *)op)->hold;
    Sagamesh__Storage__V1__ReserveResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__reserve_response__init(response);
    response->hold_id = uuid_print(hold->record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
    response->total_minor = hold->total_minor;
    response->currency = (char *)hold->currency;
    response->until_us = hold->until_us;
    response->lines = lines_message(hold->lines, arena, &response->n_lines);
    return &response->base;
}

/* ---- Confirm, Release ---- */

static enum error
confirm_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ConfirmRequest *request =
        (const Sagamesh__Storage__V1__ConfirmRequest *)message;
    struct confirm *confirm = op;
    struct problem *problem = &confirm->op.problem;

    (void)arena;
    if (check_id(problem, "request_id", request->request_id, &confirm->op.id) != ERR_OK)
        return problem->error;
    confirm->op.fingerprint = hash_end(hash_text(HASH_SEED + 3, request->hold_id));
    return check_id(problem, "hold_id", request->hold_id, &confirm->hold_id);
}

static ProtobufCMessage *
confirm_encode(const void *op, struct arena *arena)
{
    Sagamesh__Storage__V1__ConfirmResponse *response = arena_take(arena, sizeof *response);

    (void)op;
    sagamesh__storage__v1__confirm_response__init(response);
    response->state = SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_CONFIRMED;
    return &response->base;
}

static enum error
release_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ReleaseRequest *request =
        (const Sagamesh__Storage__V1__ReleaseRequest *)message;
    struct release *release = op;
    struct problem *problem = &release->op.problem;

    (void)arena;
    if (check_id(problem, "request_id", request->request_id, &release->op.id) != ERR_OK)
        return problem->error;
    release->op.fingerprint = hash_end(hash_text(HASH_SEED + 4, request->hold_id));
    return check_id(problem, "hold_id", request->hold_id, &release->hold_id);
}

static ProtobufCMessage *
release_encode(const void *op, struct arena *arena)
{
    Sagamesh__Storage__V1__ReleaseResponse *response = arena_take(arena, sizeof *response);

    (void)op;
    sagamesh__storage__v1__release_response__init(response);
    response->state = SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_RELEASED;
    return &response->base;
}

/* ---- Extend ---- */

static enum error
extend_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ExtendRequest *request =
        (const Sagamesh__Storage__V1__ExtendRequest *)message;
    struct extend *extend = op;
    struct problem *problem = &extend->op.problem;

    (void)arena;
    extend->until_us = request->until_us;
    extend->op.fingerprint =
        hash_end(hash_int(hash_text(HASH_SEED + 5, request->hold_id), request->until_us));
    if (check_id(problem, "request_id", request->request_id, &extend->op.id) != ERR_OK ||
        check_id(problem, "hold_id", request->hold_id, &extend->hold_id) != ERR_OK)
        return problem->error;
    return check_range(problem, "until_us", extend->until_us, 1, INT64_MAX);
}

static ProtobufCMessage *
extend_encode(const void *op, struct arena *arena)
{
    const struct hold *hold = &((const struct extend *)op)->hold;
    Sagamesh__Storage__V1__ExtendResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__extend_response__init(response);
    response->state = (Sagamesh__Storage__V1__HoldState)hold->state;
    response->until_us = hold->until_us;
    return &response->base;
}

/* ---- reads ---- */

static enum error
get_product_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_product *get = op;

    (void)arena;
    get->sku = ((const Sagamesh__Storage__V1__GetProductRequest *)message)->sku;
    return check_word(&get->op.problem, "sku", get->sku, SKU_BYTES_MAX);
}

static ProtobufCMessage *
get_product_encode(const void *op, struct arena *arena)
{
    Sagamesh__Storage__V1__GetProductResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__get_product_response__init(response);
    response->product = product_message(&((const struct get_product *)op)->product, arena);
    return &response->base;
}

static enum error
list_products_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ListProductsRequest *request =
        (const Sagamesh__Storage__V1__ListProductsRequest *)message;
    struct list_products *list = op;

    (void)arena;
    list->after_sku = request->page_token;
    if (list->after_sku[0] != '\0' &&
        check_word(&list->op.problem, "page_token", list->after_sku, SKU_BYTES_MAX) != ERR_OK)
        return list->op.problem.error;
    return check_page_size(&list->op.problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
list_products_encode(const void *op, struct arena *arena)
{
    const struct list_products *list = op;
    Sagamesh__Storage__V1__ListProductsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__list_products_response__init(response);
    response->products = arena_take(arena, list->count * sizeof *response->products);
    response->n_products = list->count;
    for (size_t i = 0; i < list->count; i++)
        response->products[i] = product_message(&list->products[i], arena);
    if (list->has_more)
        response->next_page_token = (char *)list->products[list->count - 1].sku;
    return &response->base;
}

static enum error
get_hold_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_hold *get = op;

    (void)arena;
    return check_id(&get->op.problem, "hold_id",
                    ((const Sagamesh__Storage__V1__GetHoldRequest *)message)->hold_id, &get->op.id);
}

static ProtobufCMessage *
get_hold_encode(const void *op, struct arena *arena)
{
    const struct hold *hold = &((const struct get_hold *)op)->hold;
    Sagamesh__Storage__V1__GetHoldResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__get_hold_response__init(response);
    response->hold_id = uuid_print(hold->record.id, arena_take(arena, UUID_TEXT_BYTES + 1));
    response->state = (Sagamesh__Storage__V1__HoldState)hold->state;
    response->reference = (char *)hold->reference;
    response->total_minor = hold->total_minor;
    response->currency = (char *)hold->currency;
    response->until_us = hold->until_us;
    response->lines = lines_message(hold->lines, arena, &response->n_lines);
    return &response->base;
}

static enum error
list_holds_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Storage__V1__ListHoldsRequest *request =
        (const Sagamesh__Storage__V1__ListHoldsRequest *)message;
    struct list_holds *list = op;

    (void)arena;
    return check_page_before(&list->op.problem, request->page_token, request->page_size,
                             &list->before_id, &list->page_size);
}

static Sagamesh__Storage__V1__Hold *
hold_message(const struct hold_line *hold, struct arena *arena)
{
    Sagamesh__Storage__V1__Hold *message = arena_take(arena, sizeof *message);

    sagamesh__storage__v1__hold__init(message);
    message->hold_id = uuid_print(hold->id, arena_take(arena, UUID_TEXT_BYTES + 1));
    message->state = (Sagamesh__Storage__V1__HoldState)hold->state;
    message->reference = (char *)hold->reference;
    message->total_minor = hold->total_minor;
    message->currency = (char *)hold->currency;
    message->until_us = hold->until_us;
    return message;
}

static ProtobufCMessage *
list_holds_encode(const void *op, struct arena *arena)
{
    const struct list_holds *list = op;
    Sagamesh__Storage__V1__ListHoldsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__storage__v1__list_holds_response__init(response);
    response->holds = arena_take(arena, list->count * sizeof *response->holds);
    for (size_t i = 0; i < list->count; i++) {
        if (list->holds[i].state == HOLD_HELD || list->holds[i].state == HOLD_CONFIRMED)
            response->holds[response->n_holds++] = hold_message(&list->holds[i], arena);
    }
    if (list->has_more)
        response->next_page_token =
            uuid_print(list->holds[list->count - 1].id, arena_take(arena, UUID_TEXT_BYTES + 1));
    return &response->base;
}

/* clang-format off */
const struct method storage_methods[] = {
    /* name           op                            decode                touch              decide              answer              encode */
    { "PutProduct",   sizeof(struct put_product),   put_product_decode,   put_product_touch, put_product_decide, put_product_answer, put_product_encode   },
    { "Restock",      sizeof(struct restock),       restock_decode,       restock_touch,     restock_decide,     restock_answer,     restock_encode       },
    { "Reserve",      sizeof(struct reserve),       reserve_decode,       reserve_touch,     reserve_decide,     reserve_answer,     reserve_encode       },
    { "Confirm",      sizeof(struct confirm),       confirm_decode,       confirm_touch,     confirm_decide,     NULL,               confirm_encode       },
    { "Release",      sizeof(struct release),       release_decode,       release_touch,     release_decide,     NULL,               release_encode       },
    { "Extend",       sizeof(struct extend),        extend_decode,        extend_touch,      extend_decide,      extend_answer,      extend_encode        },
    { "GetProduct",   sizeof(struct get_product),   get_product_decode,   NULL,              NULL,               NULL,               get_product_encode   },
    { "ListProducts", sizeof(struct list_products), list_products_decode, NULL,              NULL,               NULL,               list_products_encode },
    { "GetHold",      sizeof(struct get_hold),      get_hold_decode,      NULL,              NULL,               NULL,               get_hold_encode      },
    { "ListHolds",    sizeof(struct list_holds),    list_holds_decode,    NULL,              NULL,               NULL,               list_holds_encode    },
    { 0 },
};
/* clang-format on */
