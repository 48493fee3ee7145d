/* alerts repair: what an alert tells of is looked at where it is now, what helps is done (repair_plan.h), and looked at
 * again until it agrees or --timeout is over. It begins and ends with a record at alerts-svc: who, why, what came of it.
 *
 * Each step may be repeated, so a repair that broke off is said again. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_alerts.h"
#include "sagactl/ctl_order.h"
#include "sagactl/ctl_text.h"
#include "sagactl/repair_plan.h"

#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define SAGA_CONTROL (&sagamesh__saga__v1__saga_control_service__descriptor)
#define ORDER (&sagamesh__order__v1__order_service__descriptor)
#define PAYMENT (&sagamesh__payment__v1__payment_service__descriptor)
#define PAYMENT_SAGA (&sagamesh__payment__v1__payment_saga_service__descriptor)
#define LEDGER (&sagamesh__ledger__v1__ledger_service__descriptor)
#define LEDGER_SAGA (&sagamesh__ledger__v1__ledger_saga_service__descriptor)

enum { LOOK_AGAIN_US = 100 * 1000, OUTCOME_BYTES_MAX = 4000, COMMENT_BYTES_MAX = 200 };

struct repair {
    struct ctl *ctl;
    struct ctl_client *alerts, *orders, *sagas, *account;
    const char *alert_id, *repair_id, *order_id, *comment;
    const char *payment_id; /* "" as long as none is known */
    struct repair_facts facts;
    const Sagamesh__Order__V1__Order *order;
    char outcome[OUTCOME_BYTES_MAX + 1]; /* a line for each step, and for what is open */
};

/* A line for the person who repairs, and for the record. Lines beyond what a record holds are shown alone. */
static void __attribute__((format(printf, 2, 3)))
note(struct repair *repair, const char *format, ...)
{
    size_t used = strlen(repair->outcome);
    char line[512];
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (!repair->ctl->is_json)
        printf("%s\n", ctl_clean_text(line, repair->ctl->arena));
    if (used + strlen(line) + 1 < sizeof repair->outcome)
        sprintf(repair->outcome + used, "%s%s", used == 0 ? "" : "\n", line);
}

static const char *
new_id(const struct repair *repair)
{
    return uuid_print(uuid_v7(clock_now_us()), arena_take(repair->ctl->arena, UUID_TEXT_BYTES + 1));
}

/* ---- what is known ---- */

/* True where it is not there too; then *ret_answer is NULL. */
static bool
find(struct ctl_client *client, const ProtobufCServiceDescriptor *service, const char *method,
     const ProtobufCMessage *request, const ProtobufCMessage **ret_answer)
{
    struct rpc_result result;

    *ret_answer = ctl_client_try(client, service, method, request, &result);
    if (*ret_answer != NULL || result.code == WIRE_NOT_FOUND)
        return true;
    ctl_client_say(client, method, &result);
    return false;
}

/* An alert of rule B may name no payment: then it is the one that the order names. */
static bool
look_at_order(struct repair *repair)
{
    Sagamesh__Order__V1__GetRequest request = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;
    const ProtobufCMessage *answer;
    struct repair_facts *facts = &repair->facts;

    request.order_id = (char *)(uintptr_t)repair->order_id;
    if (!find(repair->orders, ORDER, "Get", &request.base, &answer))
        return false;
    repair->order =
        answer == NULL ? NULL : ((const Sagamesh__Order__V1__GetResponse *)answer)->order;
    facts->order = ORDER_IS_MISSING;
    if (repair->order == NULL)
        return true;
    facts->order = ORDER_IS_OPEN;
    if (repair->order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_PAID)
        facts->order = ORDER_IS_PAID;
    if (repair->order->status == SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_FAILED)
        facts->order = ORDER_IS_FAILED;
    if (repair->payment_id[0] == '\0')
        repair->payment_id = repair->order->payment_id[0] != '\0'
                                 ? repair->order->payment_id
                                 : repair->order->payment_reference;
    facts->is_orders_own = facts->order == ORDER_IS_PAID &&
                           strcmp(repair->order->payment_reference, repair->payment_id) == 0;
    return true;
}

static bool
look_at_saga(struct repair *repair)
{
    Sagamesh__Saga__V1__GetRequest request = SAGAMESH__SAGA__V1__GET_REQUEST__INIT;
    const Sagamesh__Saga__V1__GetResponse *got;
    const ProtobufCMessage *answer;

    request.saga_id = (char *)(uintptr_t)repair->order_id;
    if (!find(repair->sagas, SAGA, "Get", &request.base, &answer))
        return false;
    got = (const Sagamesh__Saga__V1__GetResponse *)answer;
    repair->facts.saga = SAGA_GOES_ON;
    if (got == NULL || got->saga == NULL)
        repair->facts.saga = SAGA_IS_MISSING;
    else if (got->saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_STUCK)
        repair->facts.saga = SAGA_IS_STUCK;
    else if (got->saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_ENDED)
        repair->facts.saga = SAGA_HAS_ENDED;
    return true;
}

static void
payment_is(struct repair_facts *facts, const Sagamesh__Payment__V1__Payment *payment)
{
    int64_t back_minor = 0;

    for (size_t i = 0; i < payment->n_refunds; i++)
        back_minor += payment->refunds[i]->amount_minor;
    facts->has_payment = true;
    facts->is_success = payment->observed == SAGAMESH__PAYMENT__V1__OBSERVED__OBSERVED_SUCCEEDED;
    facts->is_back = facts->is_success && back_minor >= payment->amount_minor;
    facts->needs_person = payment->needs_person;
}

/* A payment at a provider, or else a wallet's charge. */
static bool
look_at_payment(struct repair *repair)
{
    Sagamesh__Payment__V1__GetRequest get = SAGAMESH__PAYMENT__V1__GET_REQUEST__INIT;
    Sagamesh__Ledger__V1__GetTransferRequest charge =
        SAGAMESH__LEDGER__V1__GET_TRANSFER_REQUEST__INIT;
    struct repair_facts *facts = &repair->facts;
    const ProtobufCMessage *answer;
    struct uuid id;

    facts->has_payment = facts->is_charge = facts->is_success = facts->is_back = false;
    if (!uuid_parse(repair->payment_id, strlen(repair->payment_id), &id))
        return true; /* none, or one that is "free" */
    get.payment_id = charge.transfer_id = (char *)(uintptr_t)repair->payment_id;
    if (!find(repair->account, PAYMENT, "Get", &get.base, &answer))
        return false;
    if (answer != NULL && ((const Sagamesh__Payment__V1__GetResponse *)answer)->payment != NULL) {
        payment_is(facts, ((const Sagamesh__Payment__V1__GetResponse *)answer)->payment);
        return true;
    }
    if (!find(repair->account, LEDGER, "GetTransfer", &charge.base, &answer))
        return false;
    if (answer != NULL) {
        const Sagamesh__Ledger__V1__Transfer *transfer =
            ((const Sagamesh__Ledger__V1__GetTransferResponse *)answer)->transfer;

        facts->has_payment = facts->is_charge = facts->is_success = true;
        facts->is_back = transfer != NULL && transfer->reversed_by_id[0] != '\0';
    }
    return true;
}

/* False: a service does not answer, which was said. */
static bool
look(struct repair *repair)
{
    return look_at_order(repair) && look_at_payment(repair) && look_at_saga(repair);
}

/* ---- steps ---- */

struct step {
    enum repair_step step;
    size_t client; /* who is asked, as the next: their places in struct repair */
    const ProtobufCServiceDescriptor *service;
    const char *method;
    const char *id_field; /* of the request, and what stands there */
    size_t id;
    const char *what;
};

/* clang-format off */
#define AT(member) offsetof(struct repair, member)
static const struct step steps[] = {
    { REPAIR_ASK_PROVIDER,  AT(account), PAYMENT,      "Observe", NULL,         0,              "the payment's provider is asked how it stands" },
    { REPAIR_ASK_SAGA,      AT(orders),  ORDER,        "AskSaga", "order_id",   AT(order_id),   "the order's saga is asked for again" },
    { REPAIR_RETRY_SAGA,    AT(sagas),   SAGA_CONTROL, "Retry",   "saga_id",    AT(order_id),   "the step that its saga is stuck at is tried again" },
    { REPAIR_TELL_SAGA,     AT(account), PAYMENT_SAGA, "Tell",    "payment_id", AT(payment_id), "its saga is told how the payment stands" },
    { REPAIR_REFUND,        AT(account), PAYMENT_SAGA, "Refund",  "payment_id", AT(payment_id), "the refund is asked for, once, under the payment's id" },
    { REPAIR_REFUND_CHARGE, AT(account), LEDGER_SAGA,  "Refund",  "charge_id",  AT(payment_id), "the charge goes back to its wallet, once" },
};
#undef AT
/* clang-format on */

/* A text of a request, by its name. False: it has no such field. */
static bool
put_text(ProtobufCMessage *message, const char *name, const char *text)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    if (field == NULL)
        return false;
    *(const char **)((char *)message + field->offset) = text;
    return true;
}

static void
put_hint(struct repair *repair, ProtobufCMessage *message)
{
    Sagamesh__Payment__V1__ObserveRequest *request =
        (Sagamesh__Payment__V1__ObserveRequest *)message;
    Sagamesh__Payment__V1__PaymentHint *hint = arena_take(repair->ctl->arena, sizeof *hint);

    sagamesh__payment__v1__payment_hint__init(hint);
    hint->payment_id = (char *)(uintptr_t)repair->payment_id;
    hint->hint = SAGAMESH__PAYMENT__V1__HINT__HINT_RETURNED;
    request->what_case = SAGAMESH__PAYMENT__V1__OBSERVE_REQUEST__WHAT_HINT;
    request->hint = hint;
}

/* All have a request_id and the id that they are about; who is to say why says it in a comment. */
static const ProtobufCMessage *
request_of(struct repair *repair, const struct step *step)
{
    const ProtobufCMessageDescriptor *descriptor =
        protobuf_c_service_descriptor_get_method_by_name(step->service, step->method)->input;
    ProtobufCMessage *message = arena_take(repair->ctl->arena, descriptor->sizeof_message);
    bool is_put;

    protobuf_c_message_init(descriptor, message);
    is_put = put_text(message, "request_id", new_id(repair));
    if (step->id_field == NULL)
        put_hint(repair, message);
    else
        is_put = put_text(message, step->id_field,
                          *(const char *const *)((const char *)repair + step->id)) &&
                 is_put;
    assert(is_put);
    put_text(message, "comment", repair->comment);
    return message;
}

/* A step that is refused is no end of the repair: what is open is told at its end. */
static void
do_step(struct repair *repair, const struct step *step)
{
    struct ctl_client *client = *(struct ctl_client **)((char *)repair + step->client);
    struct rpc_result result;

    if (ctl_client_try(client, step->service, step->method, request_of(repair, step), &result) !=
        NULL)
        note(repair, "done: %s", step->what);
    else
        note(repair, "not done: %s (%s)", step->what,
             result.reason[0] != '\0' ? result.reason : "no answer came");
}

static void
do_steps(struct repair *repair, unsigned wanted)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (wanted & (unsigned)steps[i].step)
            do_step(repair, &steps[i]);
    }
}

/* False once --timeout is over. */
static bool
wait_a_moment(int64_t until_us)
{
    const struct timespec pause = { .tv_nsec = LOOK_AGAIN_US * 1000 };

    if (clock_steady_us() >= until_us)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* ---- the repair ---- */

static void
say_how_it_stands(struct repair *repair)
{
    static const char *const orders[] = { "is not there", "is open", "is PAID", "is FAILED" };
    static const char *const sagas[] = { "is not there", "goes on", "is stuck", "has ended" };
    const struct repair_facts *facts = &repair->facts;

    note(repair, "order %s %s, its saga %s; its payment %s%s", repair->order_id,
         orders[facts->order], sagas[facts->saga],
         !facts->has_payment ? "is not known"
         : facts->is_back    ? "went back"
         : facts->is_success ? "succeeded"
                             : "did not succeed",
         facts->needs_person ? " and needs a person" : "");
}

/* A source that is silent has no order: what to look at is said. */
static enum ctl_exit
work(struct repair *repair)
{
    int64_t until_us = clock_steady_us() + repair->ctl->timeout_seconds * SECOND_US;
    bool has_order = repair->facts.rule != REPAIR_SILENT;
    const char *open;

    if (has_order && !look(repair))
        return CTL_UNREACHABLE;
    if (has_order) {
        say_how_it_stands(repair);
        do_steps(repair, repair_plan(&repair->facts));
    }
    while ((open = repair_open(&repair->facts)) != NULL && has_order && wait_a_moment(until_us)) {
        if (!look(repair))
            return CTL_UNREACHABLE;
    }
    if (has_order)
        say_how_it_stands(repair);
    note(repair, "open: %s", open == NULL ? "nothing; news ends the alert" : open);
    return open == NULL ? CTL_DONE : CTL_REFUSED;
}

/* The record comes first: should the tool be ended, it says that something may have been done. */
static bool
begin(struct repair *repair, const char *person)
{
    Sagamesh__Alert__V1__BeginRepairRequest request =
        SAGAMESH__ALERT__V1__BEGIN_REPAIR_REQUEST__INIT;

    repair->repair_id = ctl_request_id(repair->ctl);
    request.request_id = (char *)(uintptr_t)repair->repair_id;
    request.alert_id = (char *)(uintptr_t)repair->alert_id;
    request.operator_ = (char *)(uintptr_t)person;
    request.reason = (char *)(uintptr_t)repair->ctl->reason;
    return ctl_ask_change(repair->ctl, repair->alerts, "BeginRepair", &request.base,
                          repair->repair_id) != NULL;
}

/* One that was repeated under its id may have ended the first time: that is its record. */
static bool
end(struct repair *repair, bool is_done)
{
    Sagamesh__Alert__V1__EndRepairRequest request = SAGAMESH__ALERT__V1__END_REPAIR_REQUEST__INIT;
    struct rpc_result result;

    request.request_id = (char *)(uintptr_t)new_id(repair);
    request.repair_id = (char *)(uintptr_t)repair->repair_id;
    request.is_done = is_done;
    request.outcome =
        repair->outcome[0] == '\0' ? (char *)(uintptr_t) "nobody answered" : repair->outcome;
    if (ctl_client_try(repair->alerts, CTL_ALERTS, "EndRepair", &request.base, &result) != NULL ||
        strcmp(result.reason, "REPAIR_ENDED") == 0)
        return true;
    ctl_client_say(repair->alerts, "EndRepair", &result);
    return false;
}

static bool
open_clients(struct repair *repair)
{
    struct ctl *ctl = repair->ctl;

    if (repair->facts.rule == REPAIR_SILENT)
        return true;
    repair->orders = ctl_client_open(ctl, "order", ctl->order);
    if (repair->orders != NULL)
        repair->sagas = ctl_client_open(ctl, "saga", ctl->saga);
    if (repair->sagas != NULL)
        repair->account = ctl_client_open(ctl, "account", ctl->account);
    return repair->account != NULL;
}

static void
say_json(const struct repair *repair, bool is_done)
{
    struct json_writer writer = { 0 };

    if (!repair->ctl->is_json)
        return;
    json_open_object(&writer, NULL);
    json_put_text(&writer, "alert_id", repair->alert_id);
    json_put_text(&writer, "repair_id", repair->repair_id);
    json_put_bool(&writer, "is_done", is_done);
    json_put_text(&writer, "outcome", repair->outcome);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

static bool
find_rule(const char *name, enum repair_rule *ret_rule)
{
    static const char *const names[REPAIR_RULES] = { "RULE_A", "RULE_B", "RULE_C", "RELAY_SILENT" };

    for (size_t i = 0; i < REPAIR_RULES; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_rule = (enum repair_rule)i;
            return true;
        }
    }
    return false;
}

/* The payment that the alert's event names; "" where it names none. */
static const char *
payment_of(const char *event, struct arena *arena)
{
    json_t *tree = json_loads(event, 0, NULL);
    const char *id =
        json_string_value(json_object_get(json_object_get(tree, "evidence"), "paymentId"));

    id = id == NULL ? "" : arena_copy(arena, id, strlen(id));
    json_decref(tree);
    return id;
}

enum ctl_exit
ctl_alerts_repair(struct ctl *ctl, struct ctl_client *client)
{
    struct repair *repair = arena_take(ctl->arena, sizeof *repair);
    const char *person = ctl_operator(ctl);
    const Sagamesh__Alert__V1__GetAlertResponse *got;
    enum ctl_exit status = CTL_USAGE;

    if (person == NULL)
        return CTL_USAGE;
    got = ctl_alert_get(client, ctl->arguments[0]);
    if (got == NULL || got->alert == NULL)
        return got == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    *repair = (struct repair){ .ctl = ctl,
                               .alerts = client,
                               .alert_id = ctl->arguments[0],
                               .order_id = got->alert->subject,
                               .payment_id = payment_of(got->raised_event, ctl->arena) };
    repair->comment = arena_print(ctl->arena, "%.40s: %.150s", person, ctl->reason);
    if (!find_rule(got->alert->rule, &repair->facts.rule))
        return ctl_fail(ctl, CTL_REFUSED, "UNKNOWN_RULE", "This sagactl is older than alerts-svc.",
                        "no repair of %s is known here", got->alert->rule);
    if (open_clients(repair) && begin(repair, person)) {
        status = work(repair);
        if (!end(repair, status == CTL_DONE) && status == CTL_DONE)
            status = CTL_UNREACHABLE;
        say_json(repair, status == CTL_DONE);
    }
    ctl_client_close(repair->orders);
    ctl_client_close(repair->sagas);
    ctl_client_close(repair->account);
    return status;
}
