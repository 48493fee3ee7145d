/* An order that is open while its saga has ended, as after a restore of order-svc's database to an earlier
 * moment, ends as its saga did: end says what the saga's last step had said. Where the saga does not say
 * how it ended, because a person settled it so, that person says how the order ends. */
#include "mesh/base/json.h"
#include "sagactl/audit_rules.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_order.h"
#include "sagactl/ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDER_SAGA (&sagamesh__order__v1__order_saga_service__descriptor)

/* What a saga knew of the money when it ended; in ctl->arena. */
struct known {
    int64_t total_minor;
    const char *reference; /* NULL: not said */
};

static const char *
text_of(const json_t *context, const char *key, struct arena *arena)
{
    const json_t *value = json_object_get(context, key);

    return json_is_string(value)
               ? arena_copy(arena, json_string_value(value), json_string_length(value))
               : NULL;
}

/* Sagas say paymentReference; of a payment at a provider the shipped one has it in the payment's news. */
static bool
known_read(const struct ctl *ctl, const char *context_json, struct known *ret_known)
{
    struct problem problem = { 0 };
    json_t *context = NULL;
    const json_t *total, *payment;

    if (json_read(context_json, strlen(context_json), "context", &problem, &context) != ERR_OK)
        return false;
    total = json_object_get(context, "totalMinor");
    payment = json_object_get(context, "payment");
    ret_known->total_minor =
        json_is_string(total) ? atoll(json_string_value(total)) : json_integer_value(total);
    ret_known->reference = text_of(context, "paymentReference", ctl->arena);
    if (ret_known->reference == NULL && json_is_object(payment))
        ret_known->reference = text_of(payment, "paymentId", ctl->arena);
    json_decref(context);
    return total != NULL;
}

/* Why it was undone: what refused its last step forward, "sagamesh.Refused.NO_FUNDS", else how it ended. */
static void
find_cause(const Sagamesh__Saga__V1__GetResponse *got, char **ret_reason, char **ret_detail)
{
    *ret_reason = got->saga->error_code[0] == '\0' ? "UNDONE" : got->saga->error_code;
    *ret_detail = got->saga->error_message;
    for (size_t i = 0; i < got->n_steps; i++) {
        const Sagamesh__Saga__V1__Step *step = got->steps[i];
        char *dot = strrchr(step->error_class, '.');

        if (step->is_compensation || strcmp(step->status, "FA") != 0)
            continue;
        *ret_reason = dot == NULL ? step->error_class : dot + 1;
        *ret_detail = step->error_message;
    }
}

/* A word that was said agrees with how the saga ended; where that is not said, the word says it. */
static enum ctl_exit
find_end(const struct ctl *ctl, const Sagamesh__Saga__V1__Saga *saga, bool *ret_is_paid)
{
    static const char *const words[] = {
        [AUDIT_END_UNSAID] = NULL, [AUDIT_END_PAID] = "paid", [AUDIT_END_FAILED] = "failed"
    };
    const char *known = words[audit_end_of(saga)];
    const char *said = ctl->argument_count > 1 ? ctl->arguments[1] : known;

    if (said == NULL || (strcmp(said, "paid") != 0 && strcmp(said, "failed") != 0))
        return ctl_fail(ctl, CTL_REFUSED, "BAD_REQUEST",
                        arena_print(ctl->arena, "sagactl end %s paid, or failed", saga->saga_id),
                        "the saga ended %s: you say how the order ends", saga->status);
    if (known != NULL && strcmp(said, known) != 0)
        return ctl_fail(ctl, CTL_REFUSED, "SAGA_DISAGREES", NULL,
                        "the saga ended %s: the order is %s", saga->status, known);
    *ret_is_paid = strcmp(said, "paid") == 0;
    return CTL_DONE;
}

/* The request that ends the order, and the method that takes it. NULL: it is not known how, which was said. */
static const ProtobufCMessage *
end_request(struct ctl *ctl, const Sagamesh__Order__V1__Order *order,
            const Sagamesh__Saga__V1__GetResponse *got, bool is_paid, const char **ret_method)
{
    Sagamesh__Order__V1__MarkPaidRequest *paid = arena_take(ctl->arena, sizeof *paid);
    Sagamesh__Order__V1__MarkFailedRequest *failed = arena_take(ctl->arena, sizeof *failed);
    struct known known = { 0 };
    bool is_known = known_read(ctl, got->saga->context_json, &known);

    if (!is_paid) {
        *ret_method = "MarkFailed";
        sagamesh__order__v1__mark_failed_request__init(failed);
        failed->request_id = (char *)(uintptr_t)ctl_request_id(ctl);
        failed->order_id = order->order_id;
        find_cause(got, &failed->reason, &failed->detail);
        failed->total_minor = known.total_minor;
        failed->currency = order->currency;
        return &failed->base;
    }
    if (!is_known || known.reference == NULL) {
        ctl_fail(ctl, CTL_REFUSED, "NOT_KNOWN", NULL,
                 "the saga of order %s does not say what it was paid by", order->order_id);
        return NULL;
    }
    *ret_method = "MarkPaid";
    sagamesh__order__v1__mark_paid_request__init(paid);
    paid->request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    paid->order_id = order->order_id;
    paid->total_minor = known.total_minor;
    paid->currency = order->currency;
    paid->payment_reference = (char *)(uintptr_t)known.reference;
    return &paid->base;
}

/* False: said why. */
static bool
find_saga(struct ctl *ctl, const char *order_id, const Sagamesh__Saga__V1__GetResponse **ret_saga,
          enum ctl_exit *ret_status)
{
    const Sagamesh__Saga__V1__GetResponse *got = ctl_order_saga(ctl, order_id, ret_status);

    if (got == NULL || got->saga == NULL)
        return false;
    *ret_saga = got;
    if (got->saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_ENDED)
        return true;
    *ret_status =
        ctl_fail(ctl, CTL_REFUSED, "SAGA_OPEN", "It ends the order itself.",
                 "the saga of order %s is %s", order_id, ctl_phase_text(got->saga->phase));
    return false;
}

static void
say(const struct ctl *ctl, const char *order_id, bool is_paid)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf("order %s is %s, as its saga ended; sagactl audit says whether the money agrees\n",
               order_id, is_paid ? "PAID" : "FAILED");
        return;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, "order_id", order_id);
    json_put_text(&writer, "status", is_paid ? "PAID" : "FAILED");
    json_close_object(&writer);
    ctl_print_json(&writer);
}

static enum ctl_exit
end(struct ctl *ctl, struct ctl_client *client, const Sagamesh__Order__V1__Order *order,
    const Sagamesh__Saga__V1__GetResponse *saga)
{
    const ProtobufCMessage *request;
    const char *method;
    bool is_paid = false;
    enum ctl_exit status = find_end(ctl, saga->saga, &is_paid);

    if (status != CTL_DONE)
        return status;
    request = end_request(ctl, order, saga, is_paid, &method);
    if (request == NULL)
        return CTL_REFUSED;
    if (ctl_client_ask(client, ORDER_SAGA, method, request) == NULL)
        return ctl_client_exit(client);
    say(ctl, order->order_id, is_paid);
    return CTL_DONE;
}

enum ctl_exit
ctl_end(struct ctl *ctl)
{
    const char *order_id = ctl_id_argument(ctl);
    const Sagamesh__Order__V1__Order *order;
    const Sagamesh__Saga__V1__GetResponse *saga;
    struct ctl_client *client;
    enum ctl_exit status = CTL_USAGE;

    if (order_id == NULL)
        return CTL_USAGE;
    if (!ctl_order_find(ctl, order_id, &order, &status))
        return status;
    if (order == NULL)
        return ctl_fail(ctl, CTL_REFUSED, "NOT_FOUND", NULL, "there is no order %s", order_id);
    if (audit_is_final(order))
        return ctl_fail(ctl, CTL_REFUSED, "TOO_LATE", NULL, "order %s has ended", order_id);
    if (!find_saga(ctl, order_id, &saga, &status))
        return status;
    client = ctl_client_open(ctl, "order", ctl->order);
    status = client == NULL ? CTL_USAGE : end(ctl, client, order, saga);
    ctl_client_close(client);
    return status;
}
