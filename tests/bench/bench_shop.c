#include "mesh/base/clock.h"
#include "tests/bench/bench.h"

#include <pthread.h>
#include <sagamesh/ledger/v1/ledger_service.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdio.h>

enum { ATTEMPTS = 20, MESSAGE_BYTES_MAX = 256, TIMEOUT_SECONDS = 10 };
#define STOCK INT64_C(1000000000)
#define MONEY_MINOR INT64_C(1000000000000)

void
bench_product_name(int64_t index, char name[BENCH_NAME_BYTES])
{
    snprintf(name, BENCH_NAME_BYTES, "bench-product-%05d", (int)index);
}

void
bench_customer_name(int64_t index, char name[BENCH_NAME_BYTES])
{
    snprintf(name, BENCH_NAME_BYTES, "bench-%05d", (int)index);
}

/* Calls that all go at once, so that the client joins them in envelopes. */
struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    int64_t left;
    struct rpc_result bad; /* the last answer that was not OK */
};

static void
guest_done(void *owner, const void *context, const struct rpc_result *result,
           const ProtobufCMessage *reply)
{
    struct crowd *crowd = owner;

    (void)context, (void)reply;
    pthread_mutex_lock(&crowd->lock);
    if (result->code != WIRE_OK)
        crowd->bad = *result;
    if (--crowd->left == 0)
        pthread_cond_signal(&crowd->all_done);
    pthread_mutex_unlock(&crowd->lock);
}

/* pack() makes the index-th message. */
static void
crowd_send(const char *address, const char *method, int64_t count,
           size_t (*pack)(int64_t index, uint8_t *message))
{
    struct rpc_client_options options = {
        .target = address, .is_mesh = true, .waiting_max = (size_t)count + 1, .envelopes_max = 4
    };
    struct crowd crowd = { .lock = PTHREAD_MUTEX_INITIALIZER,
                           .all_done = PTHREAD_COND_INITIALIZER,
                           .left = count };
    struct rpc_client *client;

    if (rpc_client_open(&options, &client) != ERR_OK)
        bench_fail("'%s' is no address", address);
    for (int64_t i = 0; i < count; i++) {
        uint8_t message[MESSAGE_BYTES_MAX];

        rpc_post(client, &(struct rpc_post){ .method = method,
                                             .packed = message,
                                             .packed_bytes = pack(i, message),
                                             .timeout_us = TIMEOUT_SECONDS * SECOND_US,
                                             .attempts_max = ATTEMPTS,
                                             .owner = &crowd,
                                             .done = guest_done });
    }
    pthread_mutex_lock(&crowd.lock);
    while (crowd.left > 0)
        pthread_cond_wait(&crowd.all_done, &crowd.lock);
    pthread_mutex_unlock(&crowd.lock);
    rpc_client_close(client);
    if (crowd.bad.code != WIRE_OK)
        bench_fail("%s at %s: %s (%s)", method, address, crowd.bad.message, crowd.bad.reason);
}

/* ---- messages ---- */

static char *
new_id(char text[UUID_TEXT_BYTES + 1])
{
    return uuid_print(uuid_v7(clock_now_us()), text);
}

static size_t
pack_product(int64_t index, uint8_t *message)
{
    Sagamesh__Storage__V1__PutProductRequest request =
        SAGAMESH__STORAGE__V1__PUT_PRODUCT_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1], sku[BENCH_NAME_BYTES];

    bench_product_name(index, sku);
    request.request_id = new_id(id);
    request.sku = sku;
    request.unit_price_minor = BENCH_PRICE_MINOR;
    request.currency = BENCH_CURRENCY;
    return sagamesh__storage__v1__put_product_request__pack(&request, message);
}

static size_t
pack_restock(int64_t index, uint8_t *message)
{
    Sagamesh__Storage__V1__RestockRequest request = SAGAMESH__STORAGE__V1__RESTOCK_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1], sku[BENCH_NAME_BYTES];

    bench_product_name(index, sku);
    request.request_id = new_id(id);
    request.sku = sku;
    request.quantity = STOCK;
    return sagamesh__storage__v1__restock_request__pack(&request, message);
}

static size_t
pack_wallet(int64_t index, uint8_t *message)
{
    Sagamesh__Ledger__V1__OpenWalletRequest request =
        SAGAMESH__LEDGER__V1__OPEN_WALLET_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1], customer[BENCH_NAME_BYTES];

    bench_customer_name(index, customer);
    request.request_id = new_id(id);
    request.customer_id = customer;
    request.currency = BENCH_CURRENCY;
    return sagamesh__ledger__v1__open_wallet_request__pack(&request, message);
}

static size_t
pack_topup(int64_t index, uint8_t *message)
{
    Sagamesh__Ledger__V1__TopUpRequest request = SAGAMESH__LEDGER__V1__TOP_UP_REQUEST__INIT;
    char id[UUID_TEXT_BYTES + 1], customer[BENCH_NAME_BYTES];

    bench_customer_name(index, customer);
    request.request_id = new_id(id);
    request.customer_id = customer;
    request.amount_minor = MONEY_MINOR;
    request.currency = BENCH_CURRENCY;
    request.reference = "bench";
    return sagamesh__ledger__v1__top_up_request__pack(&request, message);
}

void
bench_shop_fill(const struct bench *bench)
{
    bench_say("shop: %lld products, %lld wallets", (long long)bench->products,
              (long long)bench->wallets);
    crowd_send(bench->storage, "sagamesh.storage.v1.StorageService/PutProduct", bench->products,
               pack_product);
    crowd_send(bench->storage, "sagamesh.storage.v1.StorageService/Restock", bench->products,
               pack_restock);
    crowd_send(bench->account, "sagamesh.ledger.v1.LedgerService/OpenWallet", bench->wallets,
               pack_wallet);
    crowd_send(bench->account, "sagamesh.ledger.v1.LedgerService/TopUp", bench->wallets,
               pack_topup);
}
