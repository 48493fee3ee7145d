/* What a failed call says, written and read back; and what is taken for a protobuf message. */
#include "mesh/pb/message.h"
#include "mesh/rpc/status.h"
#include "tests/support/check.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <google/rpc/error_details.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *what;
    struct problem problem;
    int code;
    const char *message;
    struct rpc_error_info info;
} statuses[] = {
    { "a malformed field",
      { .error = ERR_BAD_REQUEST, .reason = "BAD_REQUEST", .field = "lines[1].quantity",
        .text = "1 to 10" },
      3, "lines[1].quantity 1 to 10",
      { .reason = "BAD_REQUEST", .field = "lines[1].quantity", .rule = "1 to 10" } },
    { "a rule of a domain, recorded",
      { .error = ERR_REFUSED, .is_stored = true, .reason = "NO_STOCK", .text = "2 are free" },
      9, "2 are free",
      { .reason = "NO_STOCK", .rule = "2 are free", .is_stored = true } },
    { "nothing was done",
      { .error = ERR_BUSY, .reason = "BUSY" },
      8, "a queue is full; nothing was done",
      { .reason = "BUSY", .nothing_done = true, .retry_us = 100000 } },
    { "it may have happened",
      { .error = ERR_UNCERTAIN, .reason = "UNCERTAIN" },
      2, "it may have happened; repeat with the same id",
      { .reason = "UNCERTAIN" } },
    { "no reason was named: the error's",
      { .error = ERR_NOT_FOUND },
      5, "no such object",
      { .reason = "NOT_FOUND" } },
    { "a text that was cut inside a character",
      { .error = ERR_REFUSED, .reason = "X", .text = "caf\xc3" },
      9, "caf?",
      { .reason = "X", .rule = "caf?" } },
};
/* clang-format on */

START_TEST(status_says_and_is_understood)
{
    struct arena *arena = arena_new();
    struct rpc_error_info info;
    Google__Rpc__Status *status;
    uint8_t *bytes;
    size_t count = rpc_status_pack(&statuses[_i].problem, "a.B", arena, &bytes);

    status = google__rpc__status__unpack(NULL, count, bytes);
    ck_assert_ptr_nonnull(status);
    ck_assert_msg(status->code == statuses[_i].code, "%s: code %d", statuses[_i].what,
                  status->code);
    ck_assert_str_eq(status->message, statuses[_i].message);
    ck_assert_uint_eq(status->n_details,
                      statuses[_i].info.retry_us > 0 || statuses[_i].info.field[0] != '\0' ? 2 : 1);
    google__rpc__status__free_unpacked(status, NULL);

    rpc_status_unpack(bytes, count, &info);
    ck_assert_str_eq(info.reason, statuses[_i].info.reason);
    ck_assert_str_eq(info.domain, "sagamesh");
    ck_assert_str_eq(info.field, statuses[_i].info.field);
    ck_assert_str_eq(info.rule, statuses[_i].info.rule);
    ck_assert_int_eq(info.nothing_done, statuses[_i].info.nothing_done);
    ck_assert_str_eq(info.service, error_kind(statuses[_i].problem.error) == ERROR_KIND_REFUSAL
                                       ? "a.B"
                                       : ""); /* who decided */
    ck_assert_int_eq(info.retry_us, statuses[_i].info.retry_us);
    ck_assert_int_eq(info.is_stored, statuses[_i].info.is_stored);
    arena_free(arena);
}
END_TEST

START_TEST(garbage_says_nothing)
{
    struct rpc_error_info info = { .reason = "OLD", .nothing_done = true };

    rpc_status_unpack((const uint8_t *)"\x1a\xff\xff", 3, &info);
    ck_assert_str_eq(info.reason, "");
    ck_assert(!info.nothing_done);
    rpc_status_read(NULL, &info);
    ck_assert_str_eq(info.domain, "");
}
END_TEST

/* A ReserveRequest as bytes: 1 request_id, 2 reference, 3 lines { 1 sku, 2 quantity }, 4 int64. */
/* clang-format off */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1
static const struct {
    const char *what;
    const uint8_t *bytes;
    size_t count;
    enum error answer;
    const char *field;
} messages[] = {
    { "nothing at all",             BYTES(""),                                        ERR_OK, "" },
    { "an id and a line", BYTES("\x0a\x01" "a" "\x1a\x05\x0a\x01" "s\x10\x02"), ERR_OK, "" },
    { "an unknown field",           BYTES("\xa2\x06\x01\xff"),                        ERR_OK, "" },
    { "snowman",                    BYTES("\x0a\x03\xe2\x98\x83"),                    ERR_OK, "" },
    { "largest code point",         BYTES("\x0a\x04\xf4\x8f\xbf\xbf"),                ERR_OK, "" },
    { "one past the largest", BYTES("\x0a\x04\xf4\x90\x80\x80"), ERR_BAD_REQUEST, "request_id" },
    { "surrogate", BYTES("\x0a\x03\xed\xa0\x80"), ERR_BAD_REQUEST, "request_id" },
    { "overlong slash", BYTES("\x0a\x02\xc0\xaf"), ERR_BAD_REQUEST, "request_id" },
    { "cut character", BYTES("\x12\x02\xe2\x98"), ERR_BAD_REQUEST, "reference" },
    { "NUL in a string", BYTES("\x0a\x03" "a\0b"), ERR_BAD_REQUEST, "request_id" },
    { "bad text in the second line",
      BYTES("\x1a\x03\x0a\x01" "s" "\x1a\x03\x0a\x01\xff"), ERR_BAD_REQUEST, "lines[1].sku" },
    { "string cut short", BYTES("\x0a\x05" "ab"), ERR_BAD_REQUEST, "" },
    { "line cut short", BYTES("\x1a\x02\x0a\x05"), ERR_BAD_REQUEST, "lines[0]" },
    { "tag zero", BYTES("\x00\x01"), ERR_BAD_REQUEST, "" },
    { "a group", BYTES("\x0b\x0c"), ERR_BAD_REQUEST, "" },
    { "number where text belongs", BYTES("\x08\x01"), ERR_BAD_REQUEST, "" },
    { "varint without end",
      BYTES("\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), ERR_BAD_REQUEST, "" },
};
/* clang-format on */

START_TEST(message_is_taken_or_refused_by_field)
{
    struct arena *arena = arena_new();
    struct problem problem = { 0 };
    ProtobufCMessage *message = NULL;
    uint8_t *copy = memory_take(messages[_i].count); /* of its exact size, for the sanitizer */
    enum error answer;

    memcpy(copy, messages[_i].bytes, messages[_i].count);
    answer = pb_message_unpack(&sagamesh__storage__v1__reserve_request__descriptor, copy,
                               messages[_i].count, arena, &problem, &message);
    ck_assert_msg(answer == messages[_i].answer, "%s: got %s", messages[_i].what, problem.text);
    ck_assert_str_eq(problem.field, messages[_i].field);
    ck_assert_int_eq(message != NULL, answer == ERR_OK);
    free(copy);
    arena_free(arena);
}
END_TEST

START_TEST(many_empty_parts_have_a_limit)
{
    enum { COUNT = 1 << 20 };
    struct arena *arena = arena_new();
    uint8_t *bytes = memory_take(COUNT);
    struct problem problem;
    ProtobufCMessage *message;

    for (size_t i = 0; i < COUNT; i += 2)
        bytes[i] = 0x1a; /* lines {} */
    ck_assert_int_eq(pb_message_unpack(&sagamesh__storage__v1__reserve_request__descriptor, bytes,
                                       COUNT, arena, &problem, &message),
                     ERR_BAD_REQUEST);
    free(bytes);
    arena_free(arena);
}
END_TEST

START_TEST(recursive_types_are_noticed)
{
    ck_assert(pb_message_is_flat(&sagamesh__storage__v1__reserve_request__descriptor));
    ck_assert(!pb_message_is_flat(&google__protobuf__descriptor_proto__descriptor));
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("status");

    tcase_add_loop_test(cases, status_says_and_is_understood, 0, ROWS(statuses));
    tcase_add_test(cases, garbage_says_nothing);
    tcase_add_loop_test(cases, message_is_taken_or_refused_by_field, 0, ROWS(messages));
    tcase_add_test(cases, many_empty_parts_have_a_limit);
    tcase_add_test(cases, recursive_types_are_noticed);
    return check_run("wire_status", cases);
}
