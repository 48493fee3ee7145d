/* fuzz_webhook.c -- Any webhook and any provider's answer: read or refused, and what is read of it moves
 * a payment only as the rules allow.
 *
 *     cmake -S . -B build-fuzz -DMESH_FUZZ=ON -DCMAKE_C_COMPILER=clang && cmake --build build-fuzz --target fuzz_webhook
 *     build-fuzz/fuzz_webhook -max_len=4000 -max_total_time=60
 *
 * The first byte chooses: headers and body as they come; a body that is signed as agreed, so that what
 * lies behind the signature is reached; PayPay's hint; or an answer to a task of either adapter. What
 * jansson can hold is read as jansson reads it.
 */
#include "account-svc/provider/provider_webhook.h"
#include "tests/support/account/payment_fixture.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <assert.h>
#include <string.h>

#define NOW_US (INT64_C(1614265330) * SECOND_US)
#define ID "018bcfe5-6800-7000-8000-000000000001"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct payment
payment_new(void)
{
    struct uuid id;

    uuid_parse(ID, strlen(ID), &id);
    return payment_created(id, 0);
}

/* Twice is once, and only the whole amount takes a claim. */
static void
observe(const struct observation *observation, struct arena *arena)
{
    struct payment payment = payment_new();
    struct json_writer json = { 0 };
    size_t count;
    int32_t version;

    payment_observe(&payment, observation, arena, NOW_US);
    version = payment.version;
    payment_observe(&payment, observation, arena, NOW_US);
    assert(payment.version == version);
    if (payment.claim == CLAIM_TAKEN)
        assert(observation->amount_minor == 500 && strcmp(observation->currency, "JPY") == 0);
    payment_refunds(&payment, arena, &count);
    assert(count <= PAYMENT_REFUNDS_MAX);
    payment_registers(&payment, arena, &json);
    assert(json.bytes < 16 << 10); /* what a saga takes */
    json_writer_free(&json);
}

/* "id\ntimestamp\nsignatures\nbody", each header where there is a line for it. */
static void
split_webhook(const char *text, size_t size, struct arena *arena, struct provider_webhook *webhook)
{
    static const char *const names[] = { "webhook-id", "webhook-timestamp", "webhook-signature" };
    struct provider_header *headers = arena_take(arena, 3 * sizeof *headers);
    const char *end = text + size;

    webhook->headers = headers;
    for (size_t i = 0; i < 3; i++) {
        const char *line = memchr(text, '\n', (size_t)(end - text));

        if (line == NULL)
            break;
        headers[i] =
            (struct provider_header){ names[i], arena_copy(arena, text,
                                                           strnlen(text, (size_t)(line - text))) };
        webhook->header_count++;
        text = line + 1;
    }
    webhook->body = (const uint8_t *)text;
    webhook->body_bytes = (size_t)(end - text);
}

static void
sign_webhook(const struct signature_key *secret, const uint8_t *body, size_t size,
             struct arena *arena, struct provider_webhook *webhook)
{
    static const char head[] = "msg_1.1614265330.";
    struct provider_header *headers = arena_take(arena, 3 * sizeof *headers);
    char *content = arena_take(arena, sizeof head + size), *signature = arena_take(arena, 64);
    unsigned char digest[32];
    unsigned int bytes = 0;

    memcpy(content, head, sizeof head - 1);
    if (size > 0)
        memcpy(content + sizeof head - 1, body, size);
    HMAC(EVP_sha256(), secret->bytes, (int)secret->count, (const unsigned char *)content,
         sizeof head - 1 + size, digest, &bytes);
    memcpy(signature, "v1,", 3);
    EVP_EncodeBlock((unsigned char *)signature + 3, digest, (int)bytes);
    headers[0] = (struct provider_header){ "webhook-id", "msg_1" };
    headers[1] = (struct provider_header){ "webhook-timestamp", "1614265330" };
    headers[2] = (struct provider_header){ "webhook-signature", signature };
    *webhook = (struct provider_webhook){
        .headers = headers, .header_count = 3, .body = body, .body_bytes = size
    };
}

/* The picker and jansson's strict reader agree on what both can read: the same members, or that there are
 * none. */
static void
pick(const uint8_t *data, size_t size)
{
    static const struct json_want inner[] = { { "id", NULL }, { "amount", NULL }, { 0 } };
    static const struct json_want wanted[] = { { "id", NULL }, { "data", inner }, { 0 } };
    struct problem problem;
    json_t *strict = NULL, *picked = NULL;
    bool is_strict = json_read((const char *)data, size, "x", &problem, &strict) == ERR_OK;
    bool is_picked = json_pick((const char *)data, size, wanted, "x", &problem, &picked) == ERR_OK;

    /* jansson takes a NUL between two tokens for space; JSON does not. */
    is_strict = is_strict && memchr(data, '\0', size) == NULL;
    if (is_strict)
        assert(is_picked == json_is_object(strict));
    if (is_strict && is_picked) {
        const json_t *id = json_object_get(strict, "id"), *data = json_object_get(strict, "data");

        assert((id == NULL) == (json_object_get(picked, "id") == NULL));
        if (id != NULL && !json_is_object(id) && !json_is_array(id))
            assert(json_equal(id, json_object_get(picked, "id")));
        if (json_is_object(data))
            assert(json_is_object(json_object_get(picked, "data")));
    }
    json_decref(strict);
    json_decref(picked);
}

static void
hear(const struct provider *provider, const struct provider_webhook *webhook, bool is_signed,
     struct arena *arena)
{
    struct problem problem = { 0 };
    struct provider_heard heard;
    enum error error = provider->adapter->hear(provider, webhook, NOW_US, arena, &problem, &heard);

    assert(error == problem.error);
    assert(error == ERR_OK || error == ERR_BAD_SIGNATURE || error == ERR_BAD_REQUEST);
    assert(!is_signed || error != ERR_BAD_SIGNATURE);
    if (error != ERR_OK)
        return;
    assert(heard.is_verified == (provider->adapter == &provider_sandbox));
    if (heard.is_verified)
        observe(&heard.observation, arena);
}

static void
read_answer(const struct provider_adapter *adapter, enum task_kind kind, const uint8_t *data,
            size_t size, struct arena *arena)
{
    struct provider_answer answer = { .status = 200,
                                      .body = (const char *)data,
                                      .body_bytes = size };
    struct payment payment = payment_new();
    struct observation observation;

    if (adapter->read(&payment, kind, &answer, arena, &observation) == OUTCOME_KNOWN)
        observe(&observation, arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum task_kind kinds[] = { TASK_CREATE, TASK_QUERY, TASK_CANCEL, TASK_REFUND };
    struct provider provider = { .adapter = &provider_sandbox, .secret_count = 1 };
    struct provider_webhook webhook = { 0 };
    struct arena *arena;
    uint8_t choice;

    if (size == 0)
        return 0;
    arena = arena_new();
    choice = *data++;
    size--;
    assert(signature_key_read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &provider.secrets[0]));
    pick(data, size);
    switch (choice % 4) {
    case 0:
        split_webhook((const char *)data, size, arena, &webhook);
        hear(&provider, &webhook, false, arena);
        break;
    case 1:
        sign_webhook(&provider.secrets[0], data, size, arena, &webhook);
        hear(&provider, &webhook, true, arena);
        break;
    case 2:
        provider.adapter = &provider_paypay;
        webhook.body = data;
        webhook.body_bytes = size;
        hear(&provider, &webhook, false, arena);
        break;
    default:
        read_answer(choice & 4 ? &provider_sandbox : &provider_paypay, kinds[choice >> 3 & 3], data,
                    size, arena);
    }
    arena_free(arena);
    return 0;
}
