/* Storage's requests from strangers: each field refused by its name, and what makes two the same. */
#include "mesh/base/clock.h"
#include "storage-svc/storage.h"
#include "tests/support/check.h"

#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define M(name) Sagamesh__Storage__V1__##name
#define INIT(name) SAGAMESH__STORAGE__V1__##name##__INIT
#define ID "0190a5f0-1c7b-7abc-8def-0123456789ab"
#define SKU_64 "0123456789012345678901234567890123456789012345678901234567890123"

/* clang-format off */
static const struct {
    const char *what, *id, *reference, *currency;
    int64_t hold_seconds;
    size_t line_count;
    struct { const char *sku; int64_t quantity; } lines[2];
    const char *field; /* "": it is taken */
} reserves[] = {
    { "one line",             ID,  "order 7", "",    60,     1, { { "tea", 1 } },                       "" },
    { "no reference",         ID,  "",        "",    60,     1, { { "tea", 1 } },                       "" },
    { "a currency",           ID,  "",        "JPY", 60,     1, { { "tea", 1 } },                       "" },
    { "the longest hold",     ID,  "",        "",    604800, 1, { { "tea", 1 } },                       "" },
    { "the most pieces",      ID,  "",        "",    60,     1, { { "tea", QUANTITY_MAX } },            "" },
    { "the longest sku",      ID,  "",        "",    60,     1, { { SKU_64, 1 } },                      "" },
    { "no id",                "",  "",        "",    60,     1, { { "tea", 1 } },                       "request_id" },
    { "an id that is none",   "7", "",        "",    60,     1, { { "tea", 1 } },                       "request_id" },
    { "reference of 65",      ID,  SKU_64 "4", "",   60,     1, { { "tea", 1 } },                       "reference" },
    { "newline in it",        ID,  "a\nb",    "",    60,     1, { { "tea", 1 } },                       "reference" },
    { "no time",              ID,  "",        "",    0,      1, { { "tea", 1 } },                       "hold_seconds" },
    { "less than no time",    ID,  "",        "",    -1,     1, { { "tea", 1 } },                       "hold_seconds" },
    { "a second too long",    ID,  "",        "",    604801, 1, { { "tea", 1 } },                       "hold_seconds" },
    { "no currency",          ID,  "",        "yen", 60,     1, { { "tea", 1 } },                       "currency" },
    { "no lines",             ID,  "",        "",    60,     0, { { "tea", 1 } },                       "lines" },
    { "no pieces",            ID,  "",        "",    60,     1, { { "tea", 0 } },                       "lines[0].quantity" },
    { "fewer than none",      ID,  "",        "",    60,     1, { { "tea", -1 } },                      "lines[0].quantity" },
    { "one piece too many",   ID,  "",        "",    60,     1, { { "tea", QUANTITY_MAX + 1 } },        "lines[0].quantity" },
    { "no sku",               ID,  "",        "",    60,     2, { { "tea", 1 }, { "", 1 } },            "lines[1].sku" },
    { "sku of 65",            ID,  "",        "",    60,     1, { { SKU_64 "4", 1 } },                  "lines[0].sku" },
    { "a space in it",        ID,  "",        "",    60,     1, { { "green tea", 1 } },                 "lines[0].sku" },
    { "the same sku twice",   ID,  "",        "",    60,     2, { { "tea", 1 }, { "tea", 2 } },         "lines[1].sku" },
};

static const struct {
    const char *what, *id, *sku, *currency;
    int64_t price;
    const char *field;
} offers[] = {
    { "a product",        ID, "tea", "JPY", 300,                 "" },
    { "free",             ID, "tea", "JPY", 0,                   "" },
    { "the dearest",      ID, "tea", "JPY", PRICE_MINOR_MAX,     "" },
    { "one dearer",       ID, "tea", "JPY", PRICE_MINOR_MAX + 1, "unit_price_minor" },
    { "below nothing",    ID, "tea", "JPY", -1,                  "unit_price_minor" },
    { "no currency",      ID, "tea", "",    1,                   "currency" },
    { "no sku",           ID, "",    "JPY", 1,                   "sku" },
    { "no id",            "", "tea", "JPY", 1,                   "request_id" },
};

static const struct {
    const char *what;
    int64_t quantity;
    const char *field;
} restocks[] = {
    { "one",         1,                "" },
    { "the most",    RESTOCK_MAX,      "" },
    { "the least",   -RESTOCK_MAX,     "" },
    { "none",        0,                "quantity" },
    { "too many",    RESTOCK_MAX + 1,  "quantity" },
    { "too few",     -RESTOCK_MAX - 1, "quantity" },
    { "the minimum", INT64_MIN,        "quantity" },
};

static const struct {
    const char *what, *method, *id, *hold_id, *field;
} ends[] = {
    { "a confirm",          "Confirm", ID,  ID,  "" },
    { "a release",          "Release", ID,  ID,  "" },
    { "confirm without id", "Confirm", "",  ID,  "request_id" },
    { "release without id", "Release", "",  ID,  "request_id" },
    { "confirm of nothing", "Confirm", ID,  "",  "hold_id" },
    { "release of nothing", "Release", ID,  "x", "hold_id" },
};
/* clang-format on */

static struct arena *arena;

static void
open_arena(void)
{
    arena = arena_new();
}

static void
close_arena(void)
{
    arena = arena_free(arena);
}

static struct op *
decode_as(const char *name, const ProtobufCMessage *message, const char *what, const char *field,
          enum error refusal)
{
    const struct method *method = storage_methods;
    struct op *op;
    enum error error;

    while (strcmp(method->name, name) != 0)
        method++;
    op = arena_take(arena, method->op_bytes);
    error = method->decode(message, arena, op);
    ck_assert_msg(error == (field[0] == '\0' ? ERR_OK : refusal), "%s: %s", what, op->problem.text);
    ck_assert_int_eq(op->problem.error, error);
    ck_assert_msg(strcmp(op->problem.field, field) == 0, "%s: field '%s'", what, op->problem.field);
    ck_assert(error != ERR_OK || op->fingerprint != 0);
    return op;
}

static struct op *
decode(const char *name, const ProtobufCMessage *message, const char *what, const char *field)
{
    return decode_as(name, message, what, field, ERR_BAD_REQUEST);
}

START_TEST(reserve_is_decoded)
{
    M(ReserveRequest) request = INIT(RESERVE_REQUEST);
    M(ReserveLine) lines[2] = { INIT(RESERVE_LINE), INIT(RESERVE_LINE) };
    M(ReserveLine) * list[2] = { &lines[0], &lines[1] };

    request.request_id = (char *)reserves[_i].id;
    request.reference = (char *)reserves[_i].reference;
    request.currency = (char *)reserves[_i].currency;
    request.hold_seconds = reserves[_i].hold_seconds;
    request.n_lines = reserves[_i].line_count;
    request.lines = list;
    for (int i = 0; i < 2; i++) {
        if (reserves[_i].lines[i].sku != NULL)
            lines[i].sku = (char *)reserves[_i].lines[i].sku;
        lines[i].quantity = reserves[_i].lines[i].quantity;
    }
    decode("Reserve", &request.base, reserves[_i].what, reserves[_i].field);
}
END_TEST

START_TEST(lines_have_a_limit)
{
    M(ReserveRequest) request = INIT(RESERVE_REQUEST);
    M(ReserveLine) lines[LINES_MAX + 1], *list[LINES_MAX + 1];
    char skus[LINES_MAX + 1][16];

    for (int i = 0; i <= LINES_MAX; i++) {
        snprintf(skus[i], sizeof skus[i], "sku-%d", i);
        lines[i] = (M(ReserveLine))INIT(RESERVE_LINE);
        lines[i].sku = skus[i];
        lines[i].quantity = 1;
        list[i] = &lines[i];
    }
    request.request_id = (char *)ID;
    request.hold_seconds = 60;
    request.lines = list;
    request.n_lines = LINES_MAX;
    decode("Reserve", &request.base, "the most lines", "");
    request.n_lines = LINES_MAX + 1;
    decode("Reserve", &request.base, "one line too many", "lines");
}
END_TEST

START_TEST(product_is_decoded)
{
    M(PutProductRequest) request = INIT(PUT_PRODUCT_REQUEST);

    request.request_id = (char *)offers[_i].id;
    request.sku = (char *)offers[_i].sku;
    request.currency = (char *)offers[_i].currency;
    request.unit_price_minor = offers[_i].price;
    decode("PutProduct", &request.base, offers[_i].what, offers[_i].field);
}
END_TEST

START_TEST(restock_is_decoded)
{
    M(RestockRequest) request = INIT(RESTOCK_REQUEST);

    request.request_id = (char *)ID;
    request.sku = (char *)"tea";
    request.quantity = restocks[_i].quantity;
    decode("Restock", &request.base, restocks[_i].what, restocks[_i].field);
}
END_TEST

/* Confirm's and Release's requests have the same shape. */
static struct op *
decode_end(const char *method, const char *id, const char *hold_id, const char *what,
           const char *field, enum error refusal)
{
    M(ConfirmRequest) confirm = INIT(CONFIRM_REQUEST);
    M(ReleaseRequest) release = INIT(RELEASE_REQUEST);

    confirm.request_id = release.request_id = (char *)id;
    confirm.hold_id = release.hold_id = (char *)hold_id;
    return decode_as(method, strcmp(method, "Confirm") == 0 ? &confirm.base : &release.base, what,
                     field, refusal);
}

START_TEST(end_is_decoded)
{
    decode_end(ends[_i].method, ends[_i].id, ends[_i].hold_id, ends[_i].what, ends[_i].field,
               ERR_BAD_REQUEST);
}
END_TEST

/* Trouble, and no refusal: it is a clock that is wrong, here or there. */
START_TEST(ids_from_the_future_are_too_early)
{
    char text[UUID_TEXT_BYTES + 1];

    uuid_print(uuid_v7(clock_now_us() + 400 * SECOND_US), text);
    decode_end("Confirm", text, ID, "an id of the future", "request_id", ERR_TOO_EARLY);
    decode_end("Release", ID, text, "a hold of the future", "hold_id", ERR_TOO_EARLY);
}
END_TEST

START_TEST(other_content_has_another_fingerprint)
{
    const char *other = "0190a5f0-1c7b-7abc-8def-0123456789ac";
    uint64_t confirm = decode_end("Confirm", ID, ID, "", "", ERR_BAD_REQUEST)->fingerprint;

    ck_assert_uint_eq(confirm,
                      decode_end("Confirm", other, ID, "", "", ERR_BAD_REQUEST)->fingerprint);
    ck_assert_uint_ne(confirm,
                      decode_end("Confirm", ID, other, "", "", ERR_BAD_REQUEST)->fingerprint);
    ck_assert_uint_ne(confirm, decode_end("Release", ID, ID, "", "", ERR_BAD_REQUEST)->fingerprint);
}
END_TEST

START_TEST(every_method_has_its_row)
{
    const ProtobufCServiceDescriptor *all = &sagamesh__storage__v1__storage_service__descriptor,
                                     *inner =
                                         &sagamesh__storage__v1__storage_saga_service__descriptor;
    unsigned count = 0;

    for (const struct method *method = storage_methods; method->name != NULL; method++, count++) {
        bool is_of_all =
            protobuf_c_service_descriptor_get_method_by_name(all, method->name) != NULL;
        bool is_inner =
            protobuf_c_service_descriptor_get_method_by_name(inner, method->name) != NULL;

        ck_assert(is_of_all != is_inner);
        ck_assert((method->touch != NULL) == (method->decide != NULL));
        ck_assert_ptr_nonnull(method->encode);
    }
    ck_assert_uint_eq(count, all->n_methods + inner->n_methods);
}
END_TEST

int
main(void)
{
    TCase *test = check_case("decode");

    tcase_add_checked_fixture(test, open_arena, close_arena);
    tcase_add_loop_test(test, reserve_is_decoded, 0, ROWS(reserves));
    tcase_add_test(test, lines_have_a_limit);
    tcase_add_loop_test(test, product_is_decoded, 0, ROWS(offers));
    tcase_add_loop_test(test, restock_is_decoded, 0, ROWS(restocks));
    tcase_add_loop_test(test, end_is_decoded, 0, ROWS(ends));
    tcase_add_test(test, ids_from_the_future_are_too_early);
    tcase_add_test(test, other_content_has_another_fingerprint);
    tcase_add_test(test, every_method_has_its_row);
    return check_run("storage_decode", test);
}
