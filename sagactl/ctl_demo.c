/* Orders, end to end: one that is paid, one whose wallet is short, which is undone, and with --bff one that is placed
 * over HTTP. Products and wallets get fresh names each time, so that the sums at the end are the demo's own.
 *
 * With --seconds the same is done again and again, as load: an upgrade or a killed pod must cost no order, and the demo
 * asks again under the same ids as long as --timeout lasts, as every client should. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_demo_http.h"
#include "sagactl/ctl_pace.h"
#include "sagactl/ctl_timeline.h"

#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <sagamesh/order/v1/order_service.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define ORDER (&sagamesh__order__v1__order_service__descriptor)
#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)
#define LEDGER (&sagamesh__ledger__v1__ledger_service__descriptor)
#define STATUS(name) SAGAMESH__ORDER__V1__ORDER_STATUS__ORDER_STATUS_##name
#define CURRENCY "JPY"

enum {
    STOCK = 10,
    PRICE_MINOR = 1200,
    ATTEMPTS = 6, /* in the first second; then a client asks once a second */
    ROUNDS_A_SECOND = 100,
    WAIT_MS = 1000,
    POLL_US = 5000, /* the order is final a moment before its saga is */
    NAME_BYTES = 12,
};

/* clang-format off */
static const struct plan {
    const char *what;
    int64_t quantity, funds_minor;
    Sagamesh__Order__V1__OrderStatus status; /* how it must end */
    const char *reason;
    int64_t left_minor;                      /* in the wallet, then */
    bool is_http;                            /* placed at --bff */
} plans[] = {
    { "an order that is paid", 2, 5000, STATUS(PAID),   "",         5000 - 2 * PRICE_MINOR, false },
    { "an order short of funds", 1, 500,  STATUS(FAILED), "NO_FUNDS", 500, false },
    { "an order over HTTP", 3, 4000, STATUS(PAID), "", 4000 - 3 * PRICE_MINOR, true },
};
/* clang-format on */
enum { PLAN_COUNT = sizeof plans / sizeof *plans };

struct demo_order {
    const struct plan *plan;
    char *order_id, *customer_id;
    int64_t placed_us, took_us;
    const Sagamesh__Order__V1__Order *order;
    const Sagamesh__Saga__V1__GetResponse *saga;
    int64_t balance_minor;
};

struct demo {
    struct ctl *ctl;
    struct ctl_client *saga, *order, *storage, *account;
    char *sku;
    struct demo_order orders[PLAN_COUNT];
    size_t count; /* of them; the plans over HTTP are the last */
    const Sagamesh__Storage__V1__Product *product;
    enum ctl_exit status; /* of the question that failed */
};

static char *
new_id(struct demo *demo)
{
    char *text = arena_take(demo->ctl->arena, UUID_TEXT_BYTES + 1);

    return uuid_print(uuid_v7(clock_now_us()), text);
}

/* The random end of an id. */
static char *
new_name(struct demo *demo, const char *prefix)
{
    return arena_print(demo->ctl->arena, "%s-%s", prefix,
                       new_id(demo) + UUID_TEXT_BYTES - NAME_BYTES);
}

static const void *
ask(struct demo *demo, struct ctl_client *client, const ProtobufCServiceDescriptor *service,
    const char *method, const ProtobufCMessage *request)
{
    const void *answer = ctl_client_ask(client, service, method, request);

    if (answer == NULL)
        demo->status = ctl_client_exit(client);
    return answer;
}

/* ---- what there is to begin with ---- */

static bool
make_product(struct demo *demo)
{
    Sagamesh__Storage__V1__PutProductRequest put = SAGAMESH__STORAGE__V1__PUT_PRODUCT_REQUEST__INIT;
    Sagamesh__Storage__V1__RestockRequest restock = SAGAMESH__STORAGE__V1__RESTOCK_REQUEST__INIT;

    demo->sku = new_name(demo, "demo");
    put.request_id = new_id(demo);
    put.sku = demo->sku;
    put.unit_price_minor = PRICE_MINOR;
    put.currency = CURRENCY;
    restock.request_id = new_id(demo);
    restock.sku = demo->sku;
    restock.quantity = STOCK;
    return ask(demo, demo->storage, STORAGE, "PutProduct", &put.base) != NULL &&
           ask(demo, demo->storage, STORAGE, "Restock", &restock.base) != NULL;
}

static bool
make_wallet(struct demo *demo, struct demo_order *order)
{
    Sagamesh__Ledger__V1__OpenWalletRequest open = SAGAMESH__LEDGER__V1__OPEN_WALLET_REQUEST__INIT;
    Sagamesh__Ledger__V1__TopUpRequest fill = SAGAMESH__LEDGER__V1__TOP_UP_REQUEST__INIT;

    order->customer_id = new_name(demo, "demo");
    open.request_id = new_id(demo);
    open.customer_id = order->customer_id;
    open.currency = CURRENCY;
    fill.request_id = new_id(demo);
    fill.customer_id = order->customer_id;
    fill.amount_minor = order->plan->funds_minor;
    fill.currency = CURRENCY;
    fill.reference = "demo";
    return ask(demo, demo->account, LEDGER, "OpenWallet", &open.base) != NULL &&
           ask(demo, demo->account, LEDGER, "TopUp", &fill.base) != NULL;
}

/* ---- an order, until it and its saga have ended ---- */

static bool
place_grpc(struct demo *demo, struct demo_order *order)
{
    Sagamesh__Order__V1__PlaceRequest request = SAGAMESH__ORDER__V1__PLACE_REQUEST__INIT;
    Sagamesh__Order__V1__OrderLine line = SAGAMESH__ORDER__V1__ORDER_LINE__INIT, *lines = &line;

    line.sku = demo->sku;
    line.quantity = order->plan->quantity;
    order->order_id = new_id(demo);
    request.order_id = order->order_id;
    request.customer_id = order->customer_id;
    request.currency = CURRENCY;
    request.lines = &lines;
    request.n_lines = 1;
    return ask(demo, demo->order, ORDER, "Place", &request.base) != NULL;
}

static bool
place(struct demo *demo, struct demo_order *order)
{
    order->placed_us = clock_steady_us();
    if (!order->plan->is_http)
        return place_grpc(demo, order);
    order->order_id = ctl_demo_place_http(demo->ctl, order->customer_id, demo->sku,
                                          order->plan->quantity, CURRENCY, &demo->status);
    return order->order_id != NULL;
}

static bool
is_final(const Sagamesh__Order__V1__Order *order)
{
    return order->status == STATUS(PAID) || order->status == STATUS(FAILED);
}

static bool
wait_for_order(struct demo *demo, struct demo_order *order)
{
    int64_t until_us = order->placed_us + demo->ctl->timeout_seconds * SECOND_US;
    Sagamesh__Order__V1__GetRequest request = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;

    request.order_id = order->order_id;
    request.wait_ms = WAIT_MS;
    do {
        const Sagamesh__Order__V1__GetResponse *answer;

        answer = (const Sagamesh__Order__V1__GetResponse *)ctl_client_ask_long(
            demo->order, ORDER, "Get", &request.base, 1 + WAIT_MS / 1000);
        if (answer == NULL || answer->order == NULL) {
            demo->status = answer == NULL ? ctl_client_exit(demo->order) : CTL_REFUSED;
            return false;
        }
        order->order = answer->order;
        order->took_us = clock_steady_us() - order->placed_us;
        request.known_version = answer->order->version;
    } while (!is_final(order->order) && clock_steady_us() < until_us);
    return true;
}

static bool
wait_for_saga(struct demo *demo, struct demo_order *order)
{
    int64_t until_us = clock_steady_us() + demo->ctl->timeout_seconds * SECOND_US;
    Sagamesh__Saga__V1__GetRequest request = SAGAMESH__SAGA__V1__GET_REQUEST__INIT;
    const struct timespec pause = { .tv_nsec = POLL_US * 1000 };

    request.saga_id = order->order_id;
    for (;;) {
        order->saga = ask(demo, demo->saga, SAGA, "Get", &request.base);
        if (order->saga == NULL || order->saga->saga == NULL)
            return false;
        if (order->saga->saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_ENDED ||
            clock_steady_us() >= until_us)
            return true;
        nanosleep(&pause, NULL);
    }
}

/* ---- what is left ---- */

static bool
look_at_stock(struct demo *demo)
{
    Sagamesh__Storage__V1__GetProductRequest request =
        SAGAMESH__STORAGE__V1__GET_PRODUCT_REQUEST__INIT;
    const Sagamesh__Storage__V1__GetProductResponse *answer;

    request.sku = demo->sku;
    answer = ask(demo, demo->storage, STORAGE, "GetProduct", &request.base);
    demo->product = answer == NULL ? NULL : answer->product;
    return demo->product != NULL;
}

static bool
look_at_wallet(struct demo *demo, struct demo_order *order)
{
    Sagamesh__Ledger__V1__BalanceRequest request = SAGAMESH__LEDGER__V1__BALANCE_REQUEST__INIT;
    const Sagamesh__Ledger__V1__BalanceResponse *answer;

    request.customer_id = order->customer_id;
    request.currency = CURRENCY;
    answer = ask(demo, demo->account, LEDGER, "Balance", &request.base);
    if (answer != NULL)
        order->balance_minor = answer->balance_minor;
    return answer != NULL;
}

static bool
order_is_right(const struct demo_order *order)
{
    return order->order->status == order->plan->status &&
           strcmp(order->order->reason, order->plan->reason) == 0 &&
           order->saga->saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_ENDED &&
           order->balance_minor == order->plan->left_minor;
}

static int64_t
sold_by_plan(const struct demo *demo)
{
    int64_t sold = 0;

    for (size_t i = 0; i < demo->count; i++)
        sold += plans[i].status == STATUS(PAID) ? plans[i].quantity : 0;
    return sold;
}

static bool
stock_is_right(const struct demo *demo)
{
    const Sagamesh__Storage__V1__Product *product = demo->product;
    int64_t sold = sold_by_plan(demo);

    return product->on_hand == STOCK && product->free == STOCK - sold && product->held == 0 &&
           product->sold == sold;
}

/* ---- telling ---- */

static const char *
status_text(Sagamesh__Order__V1__OrderStatus status)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &sagamesh__order__v1__order_status__descriptor, (int)status);

    return value == NULL ? "?" : value->name + strlen("ORDER_STATUS_");
}

static void
print_order(const struct demo *demo, const struct demo_order *order)
{
    const Sagamesh__Order__V1__Order *now = order->order;
    struct arena *arena = demo->ctl->arena;

    printf("%s %s: %lld x %s, wallet has %lld %s\n", order->plan->what, order->order_id,
           (long long)order->plan->quantity, demo->sku, (long long)order->plan->funds_minor,
           CURRENCY);
    ctl_timeline_print(order->saga, arena);
    printf("  -> %s after %lld.%lld ms", status_text(now->status), (long long)order->took_us / 1000,
           (long long)order->took_us / 100 % 10);
    if (now->reason[0] != '\0')
        printf(", %s: %s", ctl_clean_text(now->reason, arena), ctl_clean_text(now->detail, arena));
    printf("\n  -> its wallet has %lld %s\n", (long long)order->balance_minor, CURRENCY);
    if (!order_is_right(order))
        printf("  -> it should have ended %s %s, its saga ended, with %lld %s in the wallet\n",
               status_text(order->plan->status), order->plan->reason,
               (long long)order->plan->left_minor, CURRENCY);
}

static void
print_stock(const struct demo *demo)
{
    const Sagamesh__Storage__V1__Product *product = demo->product;

    printf("stock of %s: %lld on hand, of which %lld free, %lld held, %lld sold\n", demo->sku,
           (long long)product->on_hand, (long long)product->free, (long long)product->held,
           (long long)product->sold);
    if (!stock_is_right(demo))
        printf("  -> it should be %lld free, 0 held, %lld sold\n",
               (long long)(STOCK - sold_by_plan(demo)), (long long)sold_by_plan(demo));
}

static void
print_json(const struct demo *demo, bool is_right)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    json_open_array(&writer, "orders");
    for (size_t i = 0; i < demo->count; i++) {
        const struct demo_order *order = &demo->orders[i];

        json_open_object(&writer, NULL);
        json_put_text(&writer, "order_id", order->order_id);
        json_put_text(&writer, "customer_id", order->customer_id);
        json_put_text(&writer, "status", status_text(order->order->status));
        json_put_text(&writer, "reason", order->order->reason);
        json_put_text(&writer, "detail", order->order->detail);
        json_put_int(&writer, "took_us", order->took_us);
        json_put_int(&writer, "balance_minor", order->balance_minor);
        ctl_steps_json(&writer, order->saga);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_open_object(&writer, "stock");
    json_put_text(&writer, "sku", demo->sku);
    json_put_int(&writer, "on_hand", demo->product->on_hand);
    json_put_int(&writer, "free", demo->product->free);
    json_put_int(&writer, "held", demo->product->held);
    json_put_int(&writer, "sold", demo->product->sold);
    json_close_object(&writer);
    json_put_bool(&writer, "is_right", is_right);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

/* ---- the demo ---- */

static bool
open_all(struct demo *demo)
{
    struct ctl *ctl = demo->ctl;
    /* clang-format off */
    const struct { struct ctl_client **client; const char *name, *address; } all[] = {
        { &demo->storage, "storage", ctl->storage },
        { &demo->account, "account", ctl->account },
        { &demo->order,   "order",   ctl->order },
        { &demo->saga,    "saga",    ctl->saga },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].client = ctl_client_open(ctl, all[i].name, all[i].address);
        if (*all[i].client == NULL)
            return false;
        ctl_client_persist(*all[i].client, ATTEMPTS + (int)ctl->timeout_seconds);
    }
    return true;
}

static bool
play(struct demo *demo)
{
    if (!make_product(demo))
        return false;
    for (size_t i = 0; i < demo->count; i++) {
        struct demo_order *order = &demo->orders[i];

        order->plan = &plans[i];
        if (!make_wallet(demo, order) || !place(demo, order) || !wait_for_order(demo, order) ||
            !wait_for_saga(demo, order) || !look_at_wallet(demo, order))
            return false;
        if (!demo->ctl->is_json && demo->ctl->seconds == 0)
            print_order(demo, order);
    }
    return look_at_stock(demo);
}

static bool
all_is_right(const struct demo *demo)
{
    bool is_right = stock_is_right(demo);

    for (size_t i = 0; i < demo->count; i++)
        is_right = is_right && order_is_right(&demo->orders[i]);
    return is_right;
}

static enum ctl_exit
tell(const struct demo *demo)
{
    bool is_right = all_is_right(demo);

    if (demo->ctl->is_json) {
        print_json(demo, is_right);
    } else {
        print_stock(demo);
        printf("%s\n", is_right ? "all ended as they should; the second left nothing behind"
                                : "this is NOT how it should end; what the programs say: ./dev "
                                  "logs saga");
    }
    return is_right ? CTL_DONE : CTL_REFUSED;
}

/* ---- again and again ---- */

static volatile sig_atomic_t is_told_to_end;

static void
end_soon(int signal)
{
    (void)signal;
    is_told_to_end = 1;
}

struct sums {
    int64_t rounds, wrong, orders, slowest_us;
};

/* A round that broke off said why; of one that ended wrong the orders are shown. */
static void
sums_add(struct sums *sums, const struct demo *demo, bool is_whole)
{
    sums->rounds++;
    if (!is_whole) {
        sums->wrong++;
        return;
    }
    sums->orders += (int64_t)demo->count;
    for (size_t i = 0; i < demo->count; i++) {
        if (demo->orders[i].took_us > sums->slowest_us)
            sums->slowest_us = demo->orders[i].took_us;
    }
    if (all_is_right(demo))
        return;
    sums->wrong++;
    if (demo->ctl->is_json) {
        print_json(demo, false);
        return;
    }
    for (size_t i = 0; i < demo->count; i++)
        print_order(demo, &demo->orders[i]);
    print_stock(demo);
}

static void
sums_print(const struct ctl *ctl, const struct sums *sums)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf("%lld rounds with %lld orders, the slowest of which took %lld ms; %lld rounds were "
               "wrong\n",
               (long long)sums->rounds, (long long)sums->orders, (long long)sums->slowest_us / 1000,
               (long long)sums->wrong);
        return;
    }
    json_open_object(&writer, NULL);
    json_put_int(&writer, "rounds", sums->rounds);
    json_put_int(&writer, "orders", sums->orders);
    json_put_int(&writer, "wrong", sums->wrong);
    json_put_int(&writer, "slowest_us", sums->slowest_us);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

/* Each round has an arena of its own. SIGTERM and SIGINT end it after the round that is under way, with its sums. */
static enum ctl_exit
play_on(struct demo *demo)
{
    struct ctl *ctl = demo->ctl;
    struct arena *outer = ctl->arena;
    int64_t until_us = clock_steady_us() + ctl->seconds * SECOND_US, next_us = clock_steady_us();
    struct sigaction action = { .sa_handler = end_soon };
    struct sums sums = { 0 };

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    ctl->arena = arena_new();
    while (clock_steady_us() < until_us && !is_told_to_end) {
        next_us = ctl_pace(next_us, ctl->rate > 0 ? ctl->rate : ROUNDS_A_SECOND);
        sums_add(&sums, demo, play(demo));
        arena_reset(ctl->arena);
    }
    arena_free(ctl->arena);
    ctl->arena = outer;
    sums_print(ctl, &sums);
    return sums.wrong == 0 && sums.rounds > 0 ? CTL_DONE : CTL_REFUSED;
}

enum ctl_exit
ctl_demo(struct ctl *ctl)
{
    struct demo demo = { .ctl = ctl, .status = CTL_REFUSED, .count = PLAN_COUNT };
    enum ctl_exit status;

    while (ctl->bff[0] == '\0' && plans[demo.count - 1].is_http)
        demo.count--;
    if (!open_all(&demo))
        status = CTL_USAGE;
    else if (ctl->seconds > 0)
        status = play_on(&demo);
    else
        status = play(&demo) ? tell(&demo) : demo.status;
    ctl_client_close(demo.storage);
    ctl_client_close(demo.account);
    ctl_client_close(demo.order);
    ctl_client_close(demo.saga);
    return status;
}
