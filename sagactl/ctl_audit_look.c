#include "sagactl/ctl_audit.h"

#include <string.h>

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define ORDER (&sagamesh__order__v1__order_service__descriptor)
#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)
#define LEDGER (&sagamesh__ledger__v1__ledger_service__descriptor)
#define PAYMENT (&sagamesh__payment__v1__payment_service__descriptor)

/* ---- suspects and findings ---- */

static bool
is_id(const char *text)
{
    struct uuid id;

    return uuid_parse(text, strlen(text), &id);
}

static void
suspect(struct audit *audit, enum audit_kind kind, const char *text)
{
    struct uuid id;

    if (!uuid_parse(text, strlen(text), &id))
        return;
    if (audit->suspect_count >= AUDIT_SUSPECTS_MAX) {
        audit->has_more = true;
        return;
    }
    if (audit->suspects[kind] == NULL)
        audit->suspects[kind] = memory_take(AUDIT_SUSPECTS_MAX * sizeof(struct uuid));
    audit->suspects[kind][audit->counts[kind]++] = id;
    audit->suspect_count++;
}

static void
judge(struct audit *audit, enum audit_kind kind, const struct audit_rule *rules, const void *facts,
      const char *id, const char *order_id)
{
    static const char *const kinds[] = { "order", "hold", "charge", "payment" };

    for (const struct audit_rule *rule = rules; rule->code != NULL; rule++) {
        struct audit_finding finding = { .code = rule->code,
                                         .kind = kinds[kind],
                                         .id = id,
                                         .what = rule->what,
                                         .repair = rule->repair,
                                         .order_id = order_id };

        if (!rule->is_broken(facts))
            continue;
        if (!audit->is_second_look) {
            suspect(audit, kind, id);
            return;
        }
        audit_tell(audit, &finding);
    }
}

/* ---- lookups: things by their ids, NULL where an id is empty or is none, or nothing is there ---- */

/* Every Get request is a message with the id as its only text. */
struct get {
    struct ctl_client *client;
    struct ctl_many what;
    ProtobufCMessage *(*request)(const char *id, struct arena *arena);
};

static bool
get_many(struct audit *audit, const struct get *get, const char *const *ids, size_t count,
         const ProtobufCMessage **answers)
{
    struct arena *arena = audit->ctl->arena;
    const ProtobufCMessage **requests = arena_take(arena, count * sizeof *requests);
    const ProtobufCMessage **found = arena_take(arena, count * sizeof *found);
    size_t asked = 0, read = 0;

    for (size_t i = 0; i < count; i++) {
        if (ids[i] != NULL && is_id(ids[i]))
            requests[asked++] = get->request(ids[i], arena);
    }
    if (!ctl_client_ask_many(get->client, &get->what, requests, asked, found))
        return false;
    for (size_t i = 0; i < count; i++)
        answers[i] = ids[i] != NULL && is_id(ids[i]) ? found[read++] : NULL;
    return true;
}

/* clang-format off */
#define GET_REQUEST(name, type, init, field) \
    static ProtobufCMessage *name(const char *id, struct arena *arena) \
    { \
        type *request = arena_take(arena, sizeof *request); \
        init(request); \
        request->field = (char *)(uintptr_t)id; \
        return &request->base; \
    }
/* clang-format on */

GET_REQUEST(order_request, Sagamesh__Order__V1__GetRequest, sagamesh__order__v1__get_request__init,
            order_id)
GET_REQUEST(saga_request, Sagamesh__Saga__V1__GetRequest, sagamesh__saga__v1__get_request__init,
            saga_id)
GET_REQUEST(hold_request, Sagamesh__Storage__V1__GetHoldRequest,
            sagamesh__storage__v1__get_hold_request__init, hold_id)
GET_REQUEST(charge_request, Sagamesh__Ledger__V1__GetTransferRequest,
            sagamesh__ledger__v1__get_transfer_request__init, transfer_id)
GET_REQUEST(payment_request, Sagamesh__Payment__V1__GetRequest,
            sagamesh__payment__v1__get_request__init, payment_id)

static struct get
get_orders(struct audit *audit)
{
    return (struct get){ audit->order, { ORDER, "Get", false }, order_request };
}

static struct get
get_sagas(struct audit *audit)
{
    return (struct get){ audit->saga, { SAGA, "Get", true }, saga_request };
}

static struct get
get_holds(struct audit *audit)
{
    return (struct get){ audit->storage, { STORAGE, "GetHold", false }, hold_request };
}

static struct get
get_charges(struct audit *audit)
{
    return (struct get){ audit->account, { LEDGER, "GetTransfer", false }, charge_request };
}

static struct get
get_payments(struct audit *audit)
{
    return (struct get){ audit->account, { PAYMENT, "Get", false }, payment_request };
}

static const ProtobufCMessage **
room(struct audit *audit, size_t count)
{
    return arena_take(audit->ctl->arena, count * sizeof(const ProtobufCMessage *));
}

static const char **
ids_room(struct audit *audit, size_t count)
{
    return arena_take(audit->ctl->arena, count * sizeof(const char *));
}

/* ---- orders ---- */

static bool
is_paid_by(const Sagamesh__Order__V1__Order *order, const char *method)
{
    return order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID &&
           strcmp(order->payment_method, method) == 0;
}

/* What it names as what paid it: a transfer of the ledger, or a payment at a provider. */
static bool
find_money(struct audit *audit, struct audit_order *facts, size_t count)
{
    const char **charges = ids_room(audit, count), **payments = ids_room(audit, count);
    const ProtobufCMessage **found_charges = room(audit, count);
    const ProtobufCMessage **found_payments = room(audit, count);
    struct get charge = get_charges(audit), payment = get_payments(audit);

    for (size_t i = 0; i < count; i++) {
        const Sagamesh__Order__V1__Order *order = facts[i].order;

        charges[i] = is_paid_by(order, "wallet") ? order->payment_reference : NULL;
        payments[i] = is_paid_by(order, "external") ? order->payment_reference : NULL;
    }
    if (!get_many(audit, &charge, charges, count, found_charges) ||
        !get_many(audit, &payment, payments, count, found_payments))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (found_charges[i] != NULL)
            facts[i].charge =
                ((const Sagamesh__Ledger__V1__GetTransferResponse *)found_charges[i])->transfer;
        if (found_payments[i] != NULL)
            facts[i].payment =
                ((const Sagamesh__Payment__V1__GetResponse *)found_payments[i])->payment;
    }
    return true;
}

/* What the sagas of PAID orders reserved: looked up in one go, then counted by order. */
static bool
find_goods(struct audit *audit, struct audit_order *facts, const ProtobufCMessage *const *sagas,
           size_t count)
{
    struct get hold = get_holds(audit);
    const ProtobufCMessage **holds;
    const char **ids;
    size_t total = 0, at = 0;

    for (size_t i = 0; i < count; i++) {
        const Sagamesh__Saga__V1__GetResponse *saga =
            (const Sagamesh__Saga__V1__GetResponse *)sagas[i];

        for (size_t n = 0; saga != NULL && n < saga->n_steps; n++)
            facts[i].reserve_count += audit_is_reserve(saga->steps[n]);
        total += facts[i].reserve_count;
    }
    ids = ids_room(audit, total);
    holds = room(audit, total);
    for (size_t i = 0; i < count; i++) {
        const Sagamesh__Saga__V1__GetResponse *saga =
            (const Sagamesh__Saga__V1__GetResponse *)sagas[i];

        for (size_t n = 0; saga != NULL && n < saga->n_steps; n++) {
            if (audit_is_reserve(saga->steps[n]))
                ids[at++] = saga->steps[n]->activation_id;
        }
    }
    if (!get_many(audit, &hold, ids, total, holds))
        return false;
    at = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t n = 0; n < facts[i].reserve_count; n++, at++) {
            const Sagamesh__Storage__V1__GetHoldResponse *found =
                (const Sagamesh__Storage__V1__GetHoldResponse *)holds[at];

            if (found == NULL ||
                found->state != SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_CONFIRMED)
                continue;
            facts[i].sold_count++;
            if (strcmp(found->currency, facts[i].order->currency) == 0) /* else it is no part */
                facts[i].sold_minor += found->total_minor;
        }
    }
    return true;
}

bool
audit_look_orders(struct audit *audit, Sagamesh__Order__V1__Order *const *orders, size_t count)
{
    struct audit_order *facts = arena_take(audit->ctl->arena, count * sizeof *facts);
    const ProtobufCMessage **sagas = room(audit, count);
    const char **ids = ids_room(audit, count);
    struct get saga = get_sagas(audit);

    for (size_t i = 0; i < count; i++) {
        facts[i] = (struct audit_order){ .order = orders[i],
                                         .now_us = audit->now_us,
                                         .patience_us = audit->patience_us };
        ids[i] = orders[i]->order_id;
    }
    if (!get_many(audit, &saga, ids, count, sagas))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (sagas[i] != NULL)
            facts[i].saga = ((const Sagamesh__Saga__V1__GetResponse *)sagas[i])->saga;
    }
    if (!find_money(audit, facts, count) || !find_goods(audit, facts, sagas, count))
        return false;
    for (size_t i = 0; i < count; i++)
        judge(audit, AUDIT_ORDER, audit_order_rules, &facts[i], orders[i]->order_id, "");
    return true;
}

/* ---- holds, charges and payments: against the order that each is for ---- */

/* One order for each, or NULL. */
static bool
find_orders(struct audit *audit, const char *const *ids, size_t count,
            const Sagamesh__Order__V1__Order **ret_orders)
{
    const ProtobufCMessage **found = room(audit, count);
    struct get order = get_orders(audit);

    if (!get_many(audit, &order, ids, count, found))
        return false;
    for (size_t i = 0; i < count; i++)
        ret_orders[i] =
            found[i] == NULL ? NULL : ((const Sagamesh__Order__V1__GetResponse *)found[i])->order;
    return true;
}

bool
audit_look_holds(struct audit *audit, Sagamesh__Storage__V1__Hold *const *holds, size_t count)
{
    const char **ids = ids_room(audit, count);
    const Sagamesh__Order__V1__Order **orders =
        arena_take(audit->ctl->arena, count * sizeof *orders);

    for (size_t i = 0; i < count; i++)
        ids[i] = holds[i]->reference;
    if (!find_orders(audit, ids, count, orders))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct audit_hold facts = { .hold = holds[i],
                                          .is_for_order = is_id(ids[i]),
                                          .order = orders[i],
                                          .now_us = audit->now_us,
                                          .patience_us = audit->patience_us };

        judge(audit, AUDIT_HOLD, audit_hold_rules, &facts, holds[i]->hold_id, ids[i]);
    }
    return true;
}

bool
audit_look_charges(struct audit *audit, Sagamesh__Ledger__V1__Transfer *const *charges,
                   size_t count)
{
    const char **ids = ids_room(audit, count);
    const Sagamesh__Order__V1__Order **orders =
        arena_take(audit->ctl->arena, count * sizeof *orders);

    for (size_t i = 0; i < count; i++)
        ids[i] = charges[i]->reference;
    if (!find_orders(audit, ids, count, orders))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct audit_charge facts = { .charge = charges[i],
                                            .is_for_order = is_id(ids[i]),
                                            .order = orders[i] };

        judge(audit, AUDIT_CHARGE, audit_charge_rules, &facts, charges[i]->transfer_id, ids[i]);
    }
    return true;
}

bool
audit_look_payments(struct audit *audit, Sagamesh__Payment__V1__Payment *const *payments,
                    size_t count)
{
    const char **ids = ids_room(audit, count);
    const Sagamesh__Order__V1__Order **orders =
        arena_take(audit->ctl->arena, count * sizeof *orders);

    for (size_t i = 0; i < count; i++)
        ids[i] = payments[i]->order_id;
    if (!find_orders(audit, ids, count, orders))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct audit_payment facts = { .payment = payments[i],
                                             .order = orders[i],
                                             .now_us = audit->now_us,
                                             .patience_us = audit->patience_us };

        judge(audit, AUDIT_PAYMENT, audit_payment_rules, &facts, payments[i]->payment_id, ids[i]);
    }
    return true;
}

/* ---- the second look ---- */

static bool
look_orders_again(struct audit *audit, const ProtobufCMessage *const *found, size_t count)
{
    Sagamesh__Order__V1__Order **orders = arena_take(audit->ctl->arena, count * sizeof *orders);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (found[i] != NULL)
            orders[n++] = ((const Sagamesh__Order__V1__GetResponse *)found[i])->order;
    }
    return audit_look_orders(audit, orders, n);
}

/* As ListHolds has it; one that has ended since is no suspect any more. */
static bool
look_holds_again(struct audit *audit, const ProtobufCMessage *const *found, size_t count)
{
    struct arena *arena = audit->ctl->arena;
    Sagamesh__Storage__V1__Hold **holds = arena_take(arena, count * sizeof *holds);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        const Sagamesh__Storage__V1__GetHoldResponse *got =
            (const Sagamesh__Storage__V1__GetHoldResponse *)found[i];

        if (got == NULL || (got->state != SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_HELD &&
                            got->state != SAGAMESH__STORAGE__V1__HOLD_STATE__HOLD_STATE_CONFIRMED))
            continue;
        holds[n] = arena_take(arena, sizeof **holds);
        sagamesh__storage__v1__hold__init(holds[n]);
        holds[n]->hold_id = got->hold_id;
        holds[n]->state = got->state;
        holds[n]->reference = got->reference;
        holds[n]->total_minor = got->total_minor;
        holds[n]->currency = got->currency;
        holds[n]->until_us = got->until_us;
        n++;
    }
    return audit_look_holds(audit, holds, n);
}

/* One that was given back since is no suspect any more. */
static bool
look_charges_again(struct audit *audit, const ProtobufCMessage *const *found, size_t count)
{
    Sagamesh__Ledger__V1__Transfer **charges =
        arena_take(audit->ctl->arena, count * sizeof *charges);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        Sagamesh__Ledger__V1__Transfer *charge =
            found[i] == NULL
                ? NULL
                : ((const Sagamesh__Ledger__V1__GetTransferResponse *)found[i])->transfer;

        if (charge != NULL && charge->reversed_by_id[0] == '\0')
            charges[n++] = charge;
    }
    return audit_look_charges(audit, charges, n);
}

static bool
look_payments_again(struct audit *audit, const ProtobufCMessage *const *found, size_t count)
{
    Sagamesh__Payment__V1__Payment **payments =
        arena_take(audit->ctl->arena, count * sizeof *payments);
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (found[i] != NULL)
            payments[n++] = ((const Sagamesh__Payment__V1__GetResponse *)found[i])->payment;
    }
    return audit_look_payments(audit, payments, n);
}

bool
audit_look_again(struct audit *audit, enum audit_kind kind, const struct uuid *ids, size_t count)
{
    static const struct {
        struct get (*get)(struct audit *audit);
        bool (*look)(struct audit *audit, const ProtobufCMessage *const *found, size_t count);
    } kinds[] = {
        [AUDIT_ORDER] = { get_orders, look_orders_again },
        [AUDIT_HOLD] = { get_holds, look_holds_again },
        [AUDIT_CHARGE] = { get_charges, look_charges_again },
        [AUDIT_PAYMENT] = { get_payments, look_payments_again },
    };
    struct get get = kinds[kind].get(audit);
    const ProtobufCMessage **found = room(audit, count);
    const char **texts = ids_room(audit, count);

    for (size_t i = 0; i < count; i++)
        texts[i] = uuid_print(ids[i], arena_take(audit->ctl->arena, UUID_TEXT_BYTES + 1));
    return get_many(audit, &get, texts, count, found) && kinds[kind].look(audit, found, count);
}
