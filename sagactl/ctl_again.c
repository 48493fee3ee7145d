/* What was said once and may be lost is said once more: a payment's signal (tell), an order's Start (ask),
 * and then the signals of its payments, which the saga that was lost had acknowledged. Both change nothing
 * when it had arrived; each looks, until --timeout, whether it does now. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_pace.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <sagamesh/order/v1/order_service.pb-c.h>
#include <sagamesh/payment/v1/payment_service.pb-c.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define ORDER (&sagamesh__order__v1__order_service__descriptor)
#define PAYMENT (&sagamesh__payment__v1__payment_service__descriptor)
#define PAYMENT_SAGA (&sagamesh__payment__v1__payment_saga_service__descriptor)

enum { LOOK_AGAIN_US = 50 * 1000, RATE_USUAL = 100, ATTEMPTS = 5, TOKEN_BYTES_MAX = 128 };

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

/* ---- tell ---- */

static bool
is_acknowledged(struct ctl_client *client, const char *payment_id, int32_t version, bool *ret_is)
{
    Sagamesh__Payment__V1__GetRequest request = SAGAMESH__PAYMENT__V1__GET_REQUEST__INIT;
    const Sagamesh__Payment__V1__GetResponse *got;

    request.payment_id = (char *)(uintptr_t)payment_id;
    got = (const Sagamesh__Payment__V1__GetResponse *)ctl_client_ask(client, PAYMENT, "Get",
                                                                     &request.base);
    if (got == NULL || got->payment == NULL)
        return false;
    *ret_is = got->payment->signaled_version >= version;
    return true;
}

/* NULL: said why. */
static const Sagamesh__Payment__V1__TellResponse *
tell_again(struct ctl *ctl, struct ctl_client *client, const char *payment_id, const char *id)
{
    Sagamesh__Payment__V1__TellRequest request = SAGAMESH__PAYMENT__V1__TELL_REQUEST__INIT;

    request.request_id = (char *)(uintptr_t)id;
    request.payment_id = (char *)(uintptr_t)payment_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    return (const Sagamesh__Payment__V1__TellResponse *)ctl_client_ask(client, PAYMENT_SAGA, "Tell",
                                                                       &request.base);
}

static void
tell_say(const struct ctl *ctl, const char *payment_id,
         const Sagamesh__Payment__V1__TellResponse *told, bool is_acknowledged)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json && is_acknowledged) {
        printf("saga %s has acknowledged version %d of the payment; sagactl show %s says how it "
               "goes\n",
               told->order_id, (int)told->version, told->order_id);
    } else if (!ctl->is_json) {
        printf("saga %s has not acknowledged version %d of the payment yet: account-svc goes on "
               "telling it, and its log says why\n",
               told->order_id, (int)told->version);
    } else {
        json_open_object(&writer, NULL);
        json_put_text(&writer, "payment_id", payment_id);
        json_put_text(&writer, "saga_id", told->order_id);
        json_put_int(&writer, "version", told->version);
        json_put_bool(&writer, "is_acknowledged", is_acknowledged);
        json_close_object(&writer);
        ctl_print_json(&writer);
    }
}

static enum ctl_exit
tell(struct ctl *ctl, struct ctl_client *client, const char *payment_id)
{
    const char *id = ctl_request_id(ctl);
    const Sagamesh__Payment__V1__TellResponse *told = tell_again(ctl, client, payment_id, id);
    int64_t until_us = clock_steady_us() + ctl->timeout_seconds * SECOND_US;
    bool is_known = false;

    if (told == NULL) {
        ctl_client_say_again(client, payment_id, id);
        return ctl_client_exit(client);
    }
    do {
        if (!is_acknowledged(client, payment_id, told->version, &is_known))
            return ctl_client_exit(client);
    } while (!is_known && wait_a_moment(until_us));
    tell_say(ctl, payment_id, told, is_known);
    return is_known ? CTL_DONE : CTL_REFUSED;
}

enum ctl_exit
ctl_tell(struct ctl *ctl)
{
    const char *payment_id = ctl_id_argument(ctl);
    struct ctl_client *client =
        payment_id == NULL ? NULL : ctl_client_open(ctl, "account", ctl->account);
    enum ctl_exit status = client == NULL ? CTL_USAGE : tell(ctl, client, payment_id);

    ctl_client_close(client);
    return status;
}

/* ---- ask ---- */

/* Its phase, or NULL as long as there is none. False: saga-svc does not answer, which was said. */
static bool
find_saga(struct ctl_client *client, const char *saga_id, const char **ret_phase)
{
    Sagamesh__Saga__V1__GetRequest request = SAGAMESH__SAGA__V1__GET_REQUEST__INIT;
    const Sagamesh__Saga__V1__GetResponse *got;
    struct rpc_result result;

    request.saga_id = (char *)(uintptr_t)saga_id;
    got = (const Sagamesh__Saga__V1__GetResponse *)ctl_client_try(client, SAGA, "Get",
                                                                  &request.base, &result);
    if (got == NULL && result.code != WIRE_NOT_FOUND) {
        ctl_client_say(client, "Get", &result);
        return false;
    }
    *ret_phase = got == NULL || got->saga == NULL ? NULL : ctl_phase_text(got->saga->phase);
    return true;
}

static void
ask_say(const struct ctl *ctl, const char *order_id, const char *phase)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json && phase != NULL) {
        printf("the saga of order %s is %s; sagactl show %s says how it goes\n", order_id, phase,
               order_id);
    } else if (!ctl->is_json) {
        printf("order %s has no saga yet: order-svc has asked, and its log says why\n", order_id);
    } else {
        json_open_object(&writer, NULL);
        json_put_text(&writer, "order_id", order_id);
        json_put_text(&writer, "phase", phase == NULL ? "" : phase);
        json_close_object(&writer);
        ctl_print_json(&writer);
    }
}

static enum ctl_exit
tell_payments(struct ctl *ctl, struct ctl_client *payments, const char *order_id)
{
    Sagamesh__Payment__V1__ListRequest request = SAGAMESH__PAYMENT__V1__LIST_REQUEST__INIT;
    const Sagamesh__Payment__V1__ListResponse *list;

    request.order_id = (char *)(uintptr_t)order_id;
    list = (const Sagamesh__Payment__V1__ListResponse *)ctl_client_ask(payments, PAYMENT, "List",
                                                                       &request.base);
    if (list == NULL)
        return ctl_client_exit(payments);
    for (size_t i = 0; i < list->n_payments; i++) {
        char id[UUID_TEXT_BYTES + 1];

        uuid_print(uuid_v7(clock_now_us()), id);
        if (tell_again(ctl, payments, list->payments[i]->payment_id, id) == NULL)
            return ctl_client_exit(payments);
    }
    return CTL_DONE;
}

static enum ctl_exit
ask(struct ctl *ctl, struct ctl_client *orders, struct ctl_client *sagas,
    struct ctl_client *payments, const char *order_id)
{
    enum ctl_exit status = CTL_DONE;
    Sagamesh__Order__V1__AskSagaRequest request = SAGAMESH__ORDER__V1__ASK_SAGA_REQUEST__INIT;
    int64_t until_us = clock_steady_us() + ctl->timeout_seconds * SECOND_US;
    const char *phase = NULL;

    request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    request.order_id = (char *)(uintptr_t)order_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    if (ctl_client_ask(orders, ORDER, "AskSaga", &request.base) == NULL) {
        ctl_client_say_again(orders, order_id, request.request_id);
        return ctl_client_exit(orders);
    }
    do {
        if (!find_saga(sagas, order_id, &phase))
            return ctl_client_exit(sagas);
    } while (phase == NULL && wait_a_moment(until_us));
    if (phase != NULL)
        status = tell_payments(ctl, payments, order_id);
    if (status == CTL_DONE)
        ask_say(ctl, order_id, phase);
    return phase != NULL ? status : CTL_REFUSED;
}

/* ---- ask --all ---- */

/* After a restore: every order that has not ended is asked for, and its saga is told of its payments. What
 * is there stays as it is, so a word that broke off is said again from the start. */
struct clients {
    struct ctl_client *orders, *sagas, *payments;
};

/* Of one that ended meanwhile nothing need be asked. */
static bool
ask_one(struct ctl *ctl, const struct clients *clients, const Sagamesh__Order__V1__Order *order,
        int64_t *asked)
{
    Sagamesh__Order__V1__AskSagaRequest request = SAGAMESH__ORDER__V1__ASK_SAGA_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1];
    struct rpc_result result;

    request.request_id = uuid_print(uuid_v7(clock_now_us()), id);
    request.order_id = order->order_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    if (ctl_client_try(clients->orders, ORDER, "AskSaga", &request.base, &result) == NULL) {
        if (strcmp(result.reason, "TOO_LATE") == 0)
            return true;
        ctl_client_say(clients->orders, "AskSaga", &result);
        return false;
    }
    ++*asked;
    return tell_payments(ctl, clients->payments, order->order_id) == CTL_DONE;
}

static bool
ask_page(struct ctl *ctl, const struct clients *clients, char *token, size_t token_bytes,
         int64_t *asked)
{
    Sagamesh__Order__V1__ListOpenRequest request = SAGAMESH__ORDER__V1__LIST_OPEN_REQUEST__INIT;
    const Sagamesh__Order__V1__ListOpenResponse *page;
    int64_t next_us = clock_steady_us();

    request.page_size = CTL_PAGE;
    request.page_token = token;
    page = (const Sagamesh__Order__V1__ListOpenResponse *)ctl_client_ask(clients->orders, ORDER,
                                                                         "ListOpen", &request.base);
    if (page == NULL)
        return false;
    for (size_t i = 0; i < page->n_orders; i++) {
        next_us = ctl_pace(next_us, ctl->rate > 0 ? ctl->rate : RATE_USUAL);
        if (!ask_one(ctl, clients, page->orders[i], asked))
            return false;
    }
    snprintf(token, token_bytes, "%s", page->next_page_token);
    if (!ctl->is_json)
        fprintf(stderr, "sagactl: %lld so far\n", (long long)*asked);
    return true;
}

static void
ask_all_say(const struct ctl *ctl, int64_t asked, bool is_whole)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf(
            "asked again for the sagas of %lld orders that have not ended, and told them of their "
            "payments%s\n",
            (long long)asked, is_whole ? "" : "; not all were seen: say it again");
        return;
    }
    json_open_object(&writer, NULL);
    json_put_int(&writer, "asked", asked);
    json_put_bool(&writer, "is_whole", is_whole);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

static enum ctl_exit
ask_all(struct ctl *ctl, const struct clients *clients)
{
    char token[TOKEN_BYTES_MAX] = "";
    struct arena *outer = ctl->arena;
    bool is_fine;
    int64_t asked = 0;

    ctl->arena = arena_new();
    ctl_client_persist(clients->orders, ATTEMPTS);
    ctl_client_persist(clients->payments, ATTEMPTS);
    do {
        is_fine = ask_page(ctl, clients, token, sizeof token, &asked);
        arena_reset(ctl->arena);
    } while (is_fine && token[0] != '\0');
    arena_free(ctl->arena);
    ctl->arena = outer;
    ask_all_say(ctl, asked, is_fine);
    return is_fine ? CTL_DONE : CTL_UNREACHABLE;
}

static enum ctl_exit
ask_some(struct ctl *ctl, const struct clients *clients)
{
    const char *order_id;

    if (ctl->is_all)
        return ask_all(ctl, clients);
    order_id = ctl_id_argument(ctl);
    return order_id == NULL
               ? CTL_USAGE
               : ask(ctl, clients->orders, clients->sagas, clients->payments, order_id);
}

enum ctl_exit
ctl_ask(struct ctl *ctl)
{
    struct clients clients = { 0 };
    enum ctl_exit status = CTL_USAGE;

    if ((ctl->argument_count > 0) == ctl->is_all)
        return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "sagactl audit shows those without a saga.",
                        "ask needs an order's id, or --all, and not both");
    clients.orders = ctl_client_open(ctl, "order", ctl->order);
    if (clients.orders != NULL)
        clients.sagas = ctl_client_open(ctl, "saga", ctl->saga);
    if (clients.sagas != NULL)
        clients.payments = ctl_client_open(ctl, "account", ctl->account);
    if (clients.payments != NULL)
        status = ask_some(ctl, &clients);
    ctl_client_close(clients.orders);
    ctl_client_close(clients.sagas);
    ctl_client_close(clients.payments);
    return status;
}
