/* JSON to wire and back: a message of every type, made here, whose bytes are what protoc --encode
 * makes of the same values; the storage service's messages against protobuf-c; and garbage. */
#include "mesh/base/hash.h"
#include "mesh/base/json.h"
#include "mesh/base/uuid.h"
#include "mesh/pb/pbjson.h"
#include "tests/support/check.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__FieldDescriptorProto Field;
typedef Google__Protobuf__DescriptorProto Message;

extern const uint8_t descriptor_set_start[], descriptor_set_end[];

enum { NO_ONEOF = -1, CHOICE = 0, MAYBE = 1, SINGLE = 1, REPEATED = 3, LOOSE = 4 };

/* ---- a descriptor set with everything in it ---- */

/* clang-format off */
static const struct row {
    const char *name;
    int number, type, label;
    const char *type_name;
    int oneof;
} all_rows[] = {
    { "d",           1,  1,  SINGLE,   NULL,                          NO_ONEOF },
    { "f",           2,  2,  SINGLE,   NULL,                          NO_ONEOF },
    { "i64",         3,  3,  SINGLE,   NULL,                          NO_ONEOF },
    { "u64",         4,  4,  SINGLE,   NULL,                          NO_ONEOF },
    { "i32",         5,  5,  SINGLE,   NULL,                          NO_ONEOF },
    { "f64",         6,  6,  SINGLE,   NULL,                          NO_ONEOF },
    { "f32",         7,  7,  SINGLE,   NULL,                          NO_ONEOF },
    { "b",           8,  8,  SINGLE,   NULL,                          NO_ONEOF },
    { "s",           9,  9,  SINGLE,   NULL,                          NO_ONEOF },
    { "inner",       11, 11, SINGLE,   ".test.v1.All",                NO_ONEOF },
    { "raw",         12, 12, SINGLE,   NULL,                          NO_ONEOF },
    { "u32",         13, 13, SINGLE,   NULL,                          NO_ONEOF },
    { "color",       14, 14, SINGLE,   ".test.v1.Color",              NO_ONEOF },
    { "sf32",        15, 15, SINGLE,   NULL,                          NO_ONEOF },
    { "sf64",        16, 16, SINGLE,   NULL,                          NO_ONEOF },
    { "s32",         17, 17, SINGLE,   NULL,                          NO_ONEOF },
    { "s64",         18, 18, SINGLE,   NULL,                          NO_ONEOF },
    { "packed_list", 20, 5,  REPEATED, NULL,                          NO_ONEOF },
    { "loose_list",  21, 5,  LOOSE,    NULL,                          NO_ONEOF },
    { "texts",       22, 9,  REPEATED, NULL,                          NO_ONEOF },
    { "inners",      23, 11, REPEATED, ".test.v1.All",                NO_ONEOF },
    { "colors",      24, 14, REPEATED, ".test.v1.Color",              NO_ONEOF },
    { "fixeds",      25, 7,  REPEATED, NULL,                          NO_ONEOF },
    { "counts",      30, 11, REPEATED, ".test.v1.CountsEntry",        NO_ONEOF },
    { "by_number",   31, 11, REPEATED, ".test.v1.ByNumberEntry",      NO_ONEOF },
    { "by_truth",    32, 11, REPEATED, ".test.v1.ByTruthEntry",       NO_ONEOF },
    { "left_side",   40, 9,  SINGLE,   NULL,                          CHOICE },
    { "right_side",  41, 5,  SINGLE,   NULL,                          CHOICE },
    { "deep",        42, 11, SINGLE,   ".test.v1.All",                CHOICE },
    { "maybe",       50, 5,  SINGLE,   NULL,                          MAYBE },
    { "when",        60, 11, SINGLE,   ".google.protobuf.Timestamp",  NO_ONEOF },
    { 0 },
};
static const struct row counts_rows[] = { { "key", 1, 9, SINGLE, NULL, NO_ONEOF },
                                          { "value", 2, 3, SINGLE, NULL, NO_ONEOF }, { 0 } };
static const struct row by_number_rows[] = { { "key", 1, 5, SINGLE, NULL, NO_ONEOF },
                                             { "value", 2, 11, SINGLE, ".test.v1.All", NO_ONEOF }, { 0 } };
static const struct row by_truth_rows[] = { { "key", 1, 8, SINGLE, NULL, NO_ONEOF },
                                            { "value", 2, 9, SINGLE, NULL, NO_ONEOF }, { 0 } };
static const struct row when_rows[] = { { "seconds", 1, 3, SINGLE, NULL, NO_ONEOF }, { 0 } };
/* clang-format on */

static struct arena *arena;
static struct pbjson *made, *ours;
static const struct pbjson_message *all;

static char *
text_of(const char *text)
{
    return arena_copy(arena, text, strlen(text));
}

static Field *
make_field(const struct row *row)
{
    Field *field = arena_take(arena, sizeof *field);

    google__protobuf__field_descriptor_proto__init(field);
    field->name = text_of(row->name);
    field->has_number = field->has_label = field->has_type = true;
    field->number = row->number;
    field->type = (Google__Protobuf__FieldDescriptorProto__Type)row->type;
    field->label =
        (Google__Protobuf__FieldDescriptorProto__Label)(row->label == SINGLE ? SINGLE : REPEATED);
    field->type_name = row->type_name == NULL ? NULL : text_of(row->type_name);
    field->has_oneof_index = row->oneof != NO_ONEOF;
    field->oneof_index = row->oneof;
    if (row->label == LOOSE) {
        field->options = arena_take(arena, sizeof *field->options);
        google__protobuf__field_options__init(field->options);
        field->options->has_packed = true;
    }
    return field;
}

static Message *
make_message(const char *name, const struct row *rows, bool is_map_entry)
{
    Message *message = arena_take(arena, sizeof *message);

    google__protobuf__descriptor_proto__init(message);
    message->name = text_of(name);
    message->field = arena_take(arena, 64 * sizeof *message->field);
    for (; rows[message->n_field].name != NULL; message->n_field++)
        message->field[message->n_field] = make_field(&rows[message->n_field]);
    if (is_map_entry) {
        message->options = arena_take(arena, sizeof *message->options);
        google__protobuf__message_options__init(message->options);
        message->options->has_map_entry = message->options->map_entry = true;
    }
    return message;
}

static Google__Protobuf__EnumDescriptorProto *
make_color(void)
{
    static const struct {
        const char *name;
        int32_t number;
    } values[] = { { "COLOR_UNSPECIFIED", 0 }, { "COLOR_RED", 1 }, { "COLOR_NEGATIVE", -1 } };
    Google__Protobuf__EnumDescriptorProto *color = arena_take(arena, sizeof *color);

    google__protobuf__enum_descriptor_proto__init(color);
    color->name = text_of("Color");
    color->value = arena_take(arena, 3 * sizeof *color->value);
    for (; color->n_value < 3; color->n_value++) {
        color->value[color->n_value] = arena_take(arena, sizeof *color->value[0]);
        google__protobuf__enum_value_descriptor_proto__init(color->value[color->n_value]);
        color->value[color->n_value]->name = text_of(values[color->n_value].name);
        color->value[color->n_value]->has_number = true;
        color->value[color->n_value]->number = values[color->n_value].number;
    }
    return color;
}

static uint8_t *
make_set(size_t *ret_bytes)
{
    Google__Protobuf__FileDescriptorProto file, times, *files[] = { &file, &times };
    Google__Protobuf__FileDescriptorSet set;
    Google__Protobuf__EnumDescriptorProto *enums[] = { make_color() };
    Message *messages[] = { make_message("All", all_rows, false),
                            make_message("CountsEntry", counts_rows, true),
                            make_message("ByNumberEntry", by_number_rows, true),
                            make_message("ByTruthEntry", by_truth_rows, true) };
    Message *time_messages[] = { make_message("Timestamp", when_rows, false) };
    uint8_t *bytes;

    google__protobuf__file_descriptor_set__init(&set);
    google__protobuf__file_descriptor_proto__init(&file);
    google__protobuf__file_descriptor_proto__init(&times);
    file.syntax = times.syntax = text_of("proto3");
    file.package = text_of("test.v1");
    times.package = text_of("google.protobuf");
    file.message_type = messages;
    file.n_message_type = 4;
    file.enum_type = enums;
    file.n_enum_type = 1;
    times.message_type = time_messages;
    times.n_message_type = 1;
    set.file = files;
    set.n_file = 2;
    *ret_bytes = google__protobuf__file_descriptor_set__get_packed_size(&set);
    bytes = arena_take(arena, *ret_bytes);
    google__protobuf__file_descriptor_set__pack(&set, bytes);
    return bytes;
}

static void
setup(void)
{
    struct problem problem;
    uint8_t *bytes;
    size_t count;

    arena = arena_new();
    bytes = make_set(&count);
    ck_assert_int_eq(pbjson_load(bytes, count, &problem, &made), ERR_OK);
    all = pbjson_message_find(made, "test.v1.All");
    ck_assert_ptr_nonnull(all);
    ck_assert_int_eq(pbjson_load(descriptor_set_start,
                                 (size_t)(descriptor_set_end - descriptor_set_start), &problem,
                                 &ours),
                     ERR_OK);
}

static void
teardown(void)
{
    made = pbjson_free(made);
    ours = pbjson_free(ours);
    arena = arena_free(arena);
}

/* ---- helpers ---- */

static json_t *
json_of(const char *text)
{
    struct problem problem;
    json_t *json;

    ck_assert_msg(json_read(text, strlen(text), "test", &problem, &json) == ERR_OK, "%s", text);
    return json;
}

static char *
hex_of(const uint8_t *bytes, size_t count)
{
    char *hex = arena_take(arena, 2 * count + 1);

    for (size_t i = 0; i < count; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return hex;
}

static size_t
bytes_of(const char *hex, uint8_t *bytes)
{
    size_t count = strlen(hex) / 2;

    for (size_t i = 0; i < count; i++) {
        char digits[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return count;
}

static enum error
encode(const struct pbjson_message *message, const char *text, struct problem *problem,
       char **ret_hex)
{
    json_t *json = json_of(text);
    uint8_t *bytes;
    size_t count;
    enum error error = pbjson_encode(message, json, arena, problem, &bytes, &count);

    if (error == ERR_OK)
        *ret_hex = hex_of(bytes, count);
    json_decref(json);
    return error;
}

/* What every message of type All has when its bytes say nothing. */
static const char defaults[] =
    "{\"d\":0.0,\"f\":0.0,\"i64\":0,\"u64\":0,\"i32\":0,\"f64\":0,\"f32\":0,\"b\":false,\"s\":\"\","
    "\"raw\":\"\",\"u32\":0,\"color\":\"COLOR_UNSPECIFIED\",\"sf32\":0,\"sf64\":0,\"s32\":0,"
    "\"s64\":0,\"packedList\":[],\"looseList\":[],\"texts\":[],\"inners\":[],\"colors\":[],"
    "\"fixeds\":[],\"counts\":{},\"byNumber\":{},\"byTruth\":{}}";

/* Adds them to a message of type All and to those in it. */
static void
add_defaults(json_t *message)
{
    json_t *of = json_of(defaults), *inside;
    const char *key;
    size_t i;

    json_object_update_missing(message, of);
    json_decref(of);
    if (json_is_object(json_object_get(message, "inner")))
        add_defaults(json_object_get(message, "inner"));
    if (json_is_object(json_object_get(message, "deep")))
        add_defaults(json_object_get(message, "deep"));
    json_array_foreach(json_object_get(message, "inners"), i, inside) add_defaults(inside);
    json_object_foreach(json_object_get(message, "byNumber"), key, inside) add_defaults(inside);
}

/* expected: without what has its default. */
static void
check_decoded(const char *hex, const char *expected)
{
    json_t *json = NULL, *wanted = json_of(expected);
    struct problem problem = { 0 };
    uint8_t bytes[256];
    size_t count = bytes_of(hex, bytes);
    char *text;

    add_defaults(wanted);
    ck_assert_msg(pbjson_decode(all, bytes, count, &problem, &json) == ERR_OK, "%s: %s %s", hex,
                  problem.field, problem.text);
    text = json_dumps(json, JSON_COMPACT);
    ck_assert_msg(json_equal(json, wanted), "%s: got %s, wanted %s", hex, text, expected);
    free(text);
    json_decref(json);
    json_decref(wanted);
}

/* ---- both ways ---- */

/* The bytes are protoc's. back: what is decoded, where it is not the JSON that went in. */
/* clang-format off */
static const struct {
    const char *json, *hex, *back;
} both[] = {
    { "{\"d\":0.5}", "09000000000000e03f", NULL },
    { "{\"d\":\"Infinity\"}", "09000000000000f07f", NULL },
    { "{\"d\":-0.0}", "090000000000000080", NULL },
    { "{\"f\":0.1}", "15cdcccc3d", NULL },
    { "{\"f\":3.4028235e38}", "15ffff7f7f", NULL },
    { "{\"f\":\"NaN\"}", "150000c07f", NULL },
    { "{\"i64\":\"-1\"}", "18ffffffffffffffffff01", "{\"i64\":-1}" },
    { "{\"i64\":-1}", "18ffffffffffffffffff01", "{\"i64\":-1}" },
    { "{\"i64\":\"-9223372036854775808\"}", "1880808080808080808001", "{\"i64\":-9223372036854775808}" },
    { "{\"u64\":\"18446744073709551615\"}", "20ffffffffffffffffff01", NULL },
    { "{\"i32\":-5}", "28fbffffffffffffffff01", NULL },
    { "{\"i32\":\"-5\"}", "28fbffffffffffffffff01", "{\"i32\":-5}" },
    { "{\"i32\":5.0}", "2805", "{\"i32\":5}" },
    { "{\"f64\":\"1\"}", "310100000000000000", "{\"f64\":1}" },
    { "{\"f32\":7}", "3d07000000", NULL },
    { "{\"b\":true}", "4001", NULL },
    { "{\"s\":\"h\\u00e9\"}", "4a0368c3a9", NULL },
    { "{\"inner\":{\"i32\":1}}", "5a022801", NULL },
    { "{\"inner\":{}}", "5a00", NULL },
    { "{\"raw\":\"AP8Q\"}", "620300ff10", NULL },
    { "{\"raw\":\"-_8\"}", "6202fbff", "{\"raw\":\"+/8=\"}" },
    { "{\"raw\":\"AA==\"}", "620100", NULL },
    { "{\"u32\":4294967295}", "68ffffffff0f", NULL },
    { "{\"color\":\"COLOR_RED\"}", "7001", NULL },
    { "{\"color\":\"COLOR_NEGATIVE\"}", "70ffffffffffffffffff01", NULL },
    { "{\"color\":9}", "7009", NULL },
    { "{\"color\":1}", "7001", "{\"color\":\"COLOR_RED\"}" },
    { "{\"sf32\":-2}", "7dfeffffff", NULL },
    { "{\"sf64\":\"-2\"}", "8101feffffffffffffff", "{\"sf64\":-2}" },
    { "{\"s32\":-3}", "880105", NULL },
    { "{\"s64\":\"-9223372036854775808\"}", "9001ffffffffffffffffff01", "{\"s64\":-9223372036854775808}" },
    { "{\"packedList\":[1,300,-1]}", "a2010d01ac02ffffffffffffffffff01", NULL },
    { "{\"packed_list\":[1]}", "a2010101", "{\"packedList\":[1]}" },
    { "{\"looseList\":[1,2]}", "a80101a80102", NULL },
    { "{\"texts\":[\"a\",\"\"]}", "b2010161b20100", NULL },
    { "{\"inners\":[{\"i32\":1},{}]}", "ba01022801ba0100", NULL },
    { "{\"colors\":[\"COLOR_RED\",\"COLOR_UNSPECIFIED\"]}", "c201020100", NULL },
    { "{\"fixeds\":[1,2]}", "ca01080100000002000000", NULL },
    { "{\"counts\":{\"a\":\"5\"}}", "f201050a01611005", "{\"counts\":{\"a\":5}}" },
    { "{\"byNumber\":{\"3\":{\"i32\":1}}}", "fa0106080312022801", NULL },
    { "{\"byTruth\":{\"true\":\"yes\"}}", "82020708011203796573", NULL },
    { "{\"leftSide\":\"\"}", "c20200", NULL },
    { "{\"rightSide\":0}", "c80200", NULL },
    { "{\"deep\":{}}", "d20200", NULL },
    { "{\"leftSide\":null,\"rightSide\":0}", "c80200", "{\"rightSide\":0}" },
    { "{\"maybe\":0}", "900300", NULL },
    { "{}", "", NULL },
    { "{\"i32\":0,\"s\":\"\",\"b\":false,\"d\":0,\"color\":0,\"texts\":[]}", "", "{}" },
    { "{\"i32\":null,\"inner\":null,\"texts\":null}", "", "{}" },
};

/* What only comes in. */
static const struct {
    const char *what, *hex, *json;
} decoded[] = {
    { "packed where we send unpacked",  "aa01020102", "{\"looseList\":[1,2]}" },
    { "unpacked where we send packed",  "a00101a00102", "{\"packedList\":[1,2]}" },
    { "packed and unpacked mixed",      "a20101 01a00102", "{\"packedList\":[1,2]}" },
    { "unknown fields are skipped",     "e8070128 05f2070161", "{\"i32\":5}" },
    { "the last value wins",            "28052806", "{\"i32\":6}" },
    { "the last value is the default",  "28052800", "{}" },
    { "messages are merged",            "5a0228015a024001", "{\"inner\":{\"i32\":1,\"b\":true}}" },
    { "the last of a oneof wins",       "c2020161c80205", "{\"rightSide\":5}" },
    { "the last of a map's key wins",   "f201050a01611005f201050a01611006", "{\"counts\":{\"a\":6}}" },
    { "a map's entry without value",    "f201030a0161", "{\"counts\":{\"a\":0}}" },
    { "a map's entry without anything", "fa0100", "{\"byNumber\":{\"0\":{}}}" },
    { "a long varint for an int32",     "28ffffffff0f", "{\"i32\":-1}" },
};

/* What is refused on its way out: the field and a word of the rule. */
static const struct {
    const char *json, *field, *rule;
} refused_json[] = {
    { "[]",                                     "",                 "object" },
    { "{\"nonsense\":1}",                       "nonsense",         "no field of test.v1.All" },
    { "{\"inner\":{\"nonsense\":1}}",           "inner.nonsense",   "no field" },
    { "{\"inners\":[{},{\"i32\":\"x\"}]}",      "inners[1].i32",    "integer of 32" },
    { "{\"i32\":2147483648}",                   "i32",              "integer of 32" },
    { "{\"i32\":-2147483649}",                  "i32",              "integer of 32" },
    { "{\"i32\":1.5}",                          "i32",              "integer" },
    { "{\"i32\":true}",                         "i32",              "integer" },
    { "{\"u32\":-1}",                           "u32",              "not negative" },
    { "{\"u32\":4294967296}",                   "u32",              "32 bits" },
    { "{\"i64\":\"9223372036854775808\"}",      "i64",              "64 bits" },
    { "{\"u64\":\"18446744073709551616\"}",     "u64",              "64 bits" },
    { "{\"u64\":\"-1\"}",                       "u64",              "not negative" },
    { "{\"i64\":\"\"}",                         "i64",              "integer" },
    { "{\"i64\":\" 1\"}",                       "i64",              "integer" },
    { "{\"i64\":\"01\"}",                       "i64",              "integer" },
    { "{\"i64\":\"1e3\"}",                      "i64",              "integer" },
    { "{\"i64\":1e300}",                        "i64",              "integer" },
    { "{\"f\":1e39}",                           "f",                "single" },
    { "{\"d\":\"inf\"}",                        "d",                "number" },
    { "{\"b\":1}",                              "b",                "true or false" },
    { "{\"s\":1}",                              "s",                "text" },
    { "{\"raw\":\"A\"}",                        "raw",              "base64" },
    { "{\"raw\":\"AA=\"}",                      "raw",              "base64" },
    { "{\"raw\":\"A*==\"}",                     "raw",              "base64" },
    { "{\"color\":\"RED\"}",                    "color",            "test.v1.Color" },
    { "{\"color\":2147483648}",                 "color",            "test.v1.Color" },
    { "{\"texts\":\"a\"}",                      "texts",            "list" },
    { "{\"texts\":[\"a\",null]}",               "texts[1]",         "text" },
    { "{\"inner\":[]}",                         "inner",            "object" },
    { "{\"counts\":[]}",                        "counts",           "object" },
    { "{\"counts\":{\"a\":\"x\"}}",             "counts[\"a\"]",    "integer" },
    { "{\"byNumber\":{\"x\":{}}}",              "byNumber[\"x\"]",  "integer" },
    { "{\"byTruth\":{\"1\":\"\"}}",             "byTruth[\"1\"]",   "true or false" },
    { "{\"leftSide\":\"a\",\"rightSide\":1}",   "rightSide",        "excludes" },
    { "{\"packedList\":[],\"packed_list\":[]}", "packedList",       "twice" },
    { "{\"when\":{\"seconds\":1}}",             "when",             "google.protobuf.Timestamp is not supported" },
};

static const struct {
    const char *what, *hex, *field;
} refused_wire[] = {
    { "a tag cut short",               "80",               "" },
    { "a varint without end",          "28ffffffffffffffffffff01", "" },
    { "a length past the end",         "4a0561",           "" },
    { "a length past the end, inside", "5a024a05",         "inner" },
    { "a double cut short",            "0900000000",       "" },
    { "a group",                       "2b2c",             "" },
    { "field number 0",                "0001",             "" },
    { "a text that is not UTF-8",      "4a01ff",           "s" },
    { "a text with NUL",               "4a0100",           "s" },
    { "a text in a list",              "b2010161b20101ff", "texts[1]" },
    { "a number where a text belongs", "4801",             "s" },
    { "a text where a number belongs", "3201 61",          "f64" },
    { "packed fixed cut short",        "ca0103010000",     "fixeds" },
    { "packed varint cut short",       "a2010180",         "packedList" },
    { "a map's entry cut short",       "f201030a0561",     "counts[0]" },
    { "a type that is not supported",  "e203020801",       "when" },
};
/* clang-format on */
START_TEST(json_to_wire_and_back)
{
    struct problem problem = { 0 };
    char *hex = NULL;

    ck_assert_msg(encode(all, both[_i].json, &problem, &hex) == ERR_OK, "%s: %s %s", both[_i].json,
                  problem.field, problem.text);
    ck_assert_msg(strcmp(hex, both[_i].hex) == 0, "%s: got %s", both[_i].json, hex);
    check_decoded(hex, both[_i].back != NULL ? both[_i].back : both[_i].json);
}
END_TEST

/* Spaces in a row's hex are for reading. */
static const char *
without_spaces(const char *hex)
{
    char *plain = text_of(hex), *to = plain;

    for (const char *c = plain; *c != '\0'; c++) {
        if (*c != ' ')
            *to++ = *c;
    }
    *to = '\0';
    return plain;
}

START_TEST(wire_to_json)
{
    check_decoded(without_spaces(decoded[_i].hex), decoded[_i].json);
}
END_TEST

START_TEST(json_is_refused)
{
    struct problem problem = { 0 };
    char *hex;

    ck_assert_msg(encode(all, refused_json[_i].json, &problem, &hex) == ERR_BAD_REQUEST, "%s",
                  refused_json[_i].json);
    ck_assert_msg(strcmp(problem.field, refused_json[_i].field) == 0, "%s: field %s",
                  refused_json[_i].json, problem.field);
    ck_assert_msg(strstr(problem.text, refused_json[_i].rule) != NULL, "%s: %s",
                  refused_json[_i].json, problem.text);
}
END_TEST

START_TEST(wire_is_refused)
{
    struct problem problem = { 0 };
    uint8_t bytes[256];
    size_t count = bytes_of(without_spaces(refused_wire[_i].hex), bytes);
    json_t *json = NULL;

    ck_assert_msg(pbjson_decode(all, bytes, count, &problem, &json) == ERR_BAD_REQUEST, "%s",
                  refused_wire[_i].what);
    ck_assert_msg(strcmp(problem.field, refused_wire[_i].field) == 0, "%s: field \"%s\": %s",
                  refused_wire[_i].what, problem.field, problem.text);
    ck_assert_ptr_null(json);
}
END_TEST

/* inner within inner within inner: as many as count. */
static json_t *
nested(int count)
{
    json_t *json = json_object();

    for (int i = 0; i < count; i++)
        json = json_pack("{so}", "inner", json);
    return json;
}

START_TEST(depth_has_a_limit)
{
    json_t *deep = nested(JSON_DEPTH_MAX), *deeper = nested(JSON_DEPTH_MAX + 1);
    uint8_t wire[1024], *bytes;
    size_t at = sizeof wire, count;
    struct problem problem;
    json_t *json = NULL;

    ck_assert_int_eq(pbjson_encode(all, deep, arena, &problem, &bytes, &count), ERR_OK);
    ck_assert_int_eq(pbjson_encode(all, deeper, arena, &problem, &bytes, &count), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(problem.text, "deeper"));
    json_decref(deep);
    json_decref(deeper);

    for (int i = 0; i < 100; i++) { /* from the inside out; 2 or 3 bytes a level */
        size_t inner = sizeof wire - at;

        if (inner >= 128)
            wire[--at] = (uint8_t)(inner >> 7);
        wire[--at] = inner >= 128 ? (uint8_t)(inner | 0x80) : (uint8_t)inner;
        wire[--at] = 0x5a;
    }
    ck_assert_int_eq(pbjson_decode(all, wire + at, sizeof wire - at, &problem, &json),
                     ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(problem.text, "deeper"));
}
END_TEST

START_TEST(unset_has_the_defaults)
{
    check_decoded("5a00", "{\"inner\":{}}");
}
END_TEST

/* To an expression a 64-bit number is a whole number, wherever it stands. */
/* clang-format off */
static const struct {
    const char *what, *hex, *member, *value;
} whole_numbers[] = {
    { "int64",                "18ac02",                     "i64",    "300" },
    { "the least int64",      "1880808080808080808001",     "i64",    "-9223372036854775808" },
    { "the greatest int64",   "18ffffffffffffffff7f",       "i64",    "9223372036854775807" },
    { "beyond a double",      "188180808080808010",         "i64",    "9007199254740993" },
    { "uint64",               "20ac02",                     "u64",    "300" },
    { "the greatest int64, as uint64", "20ffffffffffffffff7f", "u64", "9223372036854775807" },
    { "one more has no number", "2080808080808080808001",   "u64",    "\"9223372036854775808\"" },
    { "the greatest uint64",  "20ffffffffffffffffff01",     "u64",    "\"18446744073709551615\"" },
    { "fixed64",              "312c01000000000000",         "f64",    "300" },
    { "sfixed64",             "8101feffffffffffffff",       "sf64",   "-2" },
    { "sint64",               "9001d704",                   "s64",    "-300" },
    { "in a map",             "f201060a016110ac02",         "counts", "{\"a\":300}" },
    { "in a map, left out",   "f201030a0161",               "counts", "{\"a\":0}" },
};
/* clang-format on */

START_TEST(has_whole_numbers)
{
    json_t *json = NULL, *wanted;
    struct problem problem = { 0 };
    uint8_t bytes[64], *again;
    size_t count = bytes_of(whole_numbers[_i].hex, bytes), again_count;

    ck_assert_int_eq(pbjson_decode(all, bytes, count, &problem, &json), ERR_OK);
    wanted = json_loads(whole_numbers[_i].value, JSON_DECODE_ANY, NULL);
    ck_assert_msg(json_equal(json_object_get(json, whole_numbers[_i].member), wanted), "%s",
                  whole_numbers[_i].what);
    ck_assert_int_eq(pbjson_encode(all, json, arena, &problem, &again, &again_count), ERR_OK);
    json_decref(json);
    ck_assert_int_eq(pbjson_decode(all, again, again_count, &problem, &json), ERR_OK);
    ck_assert_msg(json_equal(json_object_get(json, whole_numbers[_i].member), wanted), "%s: back",
                  whole_numbers[_i].what);
    json_decref(json);
    json_decref(wanted);
}
END_TEST

/* ---- the storage service ---- */

#define RESERVE_JSON                                                                               \
    "{\"requestId\":\"0193...\",\"reference\":\"order 1\",\"lines\":[{\"sku\":\"a\","              \
    "\"quantity\":\"2\"},{\"sku\":\"b\",\"quantity\":\"1000000\"}],\"holdSeconds\":\"300\"}"

START_TEST(storage_method_is_found)
{
    struct pbjson_method method;

    ck_assert(
        pbjson_method_find(ours, "sagamesh.storage.v1.StorageSagaService", "Reserve", &method));
    ck_assert_ptr_eq(method.request,
                     pbjson_message_find(ours, "sagamesh.storage.v1.ReserveRequest"));
    ck_assert_ptr_eq(method.response,
                     pbjson_message_find(ours, "sagamesh.storage.v1.ReserveResponse"));
    ck_assert(!method.is_streaming);
    ck_assert(pbjson_message_has(method.request, "holdSeconds"));
    ck_assert(pbjson_message_has(method.request, "hold_seconds"));
    ck_assert(!pbjson_message_has(method.request, "hold"));
    ck_assert(pbjson_method_find(ours, "grpc.health.v1.Health", "Watch", &method));
    ck_assert(method.is_streaming);
    ck_assert(
        !pbjson_method_find(ours, "sagamesh.storage.v1.StorageSagaService", "Reserv", &method));
    ck_assert(!pbjson_method_find(ours, "sagamesh.storage.v1", "Reserve", &method));
    ck_assert_ptr_null(pbjson_message_find(ours, "sagamesh.storage.v1.Nothing"));
}
END_TEST

START_TEST(storage_request_is_what_protobuf_c_makes)
{
    Sagamesh__Storage__V1__ReserveLine a = SAGAMESH__STORAGE__V1__RESERVE_LINE__INIT, b = a;
    Sagamesh__Storage__V1__ReserveLine *lines[] = { &a, &b };
    Sagamesh__Storage__V1__ReserveRequest request = SAGAMESH__STORAGE__V1__RESERVE_REQUEST__INIT;
    const struct pbjson_message *message =
        pbjson_message_find(ours, "sagamesh.storage.v1.ReserveRequest");
    struct problem problem;
    uint8_t packed[256];
    char *hex = NULL;
    size_t count;

    a.sku = text_of("a");
    a.quantity = 2;
    b.sku = text_of("b");
    b.quantity = 1000000;
    request.request_id = text_of("0193...");
    request.reference = text_of("order 1");
    request.lines = lines;
    request.n_lines = 2;
    request.hold_seconds = 300;
    count = sagamesh__storage__v1__reserve_request__pack(&request, packed);
    ck_assert_int_eq(encode(message, RESERVE_JSON, &problem, &hex), ERR_OK);
    ck_assert_str_eq(hex, hex_of(packed, count));
}
END_TEST

START_TEST(storage_response_is_read)
{
    Sagamesh__Storage__V1__ReserveResponse response = SAGAMESH__STORAGE__V1__RESERVE_RESPONSE__INIT;
    const struct pbjson_message *message =
        pbjson_message_find(ours, "sagamesh.storage.v1.ReserveResponse");
    json_t *wanted = json_of("{\"holdId\":\"h\",\"totalMinor\":0,\"currency\":\"JPY\","
                             "\"lines\":[],\"untilUs\":1763722800000000}");
    struct problem problem;
    uint8_t packed[256];
    json_t *json = NULL;
    size_t count;

    response.hold_id = text_of("h");
    response.currency = text_of("JPY");
    response.until_us = INT64_C(1763722800000000);
    count = sagamesh__storage__v1__reserve_response__pack(&response, packed);
    ck_assert_int_eq(pbjson_decode(message, packed, count, &problem, &json), ERR_OK);
    ck_assert(json_equal(json, wanted));
    json_decref(json);
    json_decref(wanted);
}
END_TEST

/* ---- garbage ---- */

static unsigned
dice(uint64_t *state, size_t sides)
{
    *state = hash_end(*state + 0x9e3779b97f4a7c15u);
    return (unsigned)(*state % sides);
}

/* All the good bytes above behind each other, then some of them changed, cut out or cut off. */
static size_t
mutate(uint8_t *bytes, size_t count, uint64_t *state)
{
    for (unsigned changes = 1 + dice(state, 4); changes > 0 && count > 0; changes--) {
        size_t at = dice(state, count);

        switch (dice(state, 3)) {
        case 0:
            bytes[at] = (uint8_t)dice(state, 256);
            break;
        case 1:
            memmove(bytes + at, bytes + at + 1, count - at - 1);
            count--;
            break;
        default:
            count = at;
        }
    }
    return count;
}

/* Whatever comes: JSON that can be sent again, or a problem; the sanitizers watch. */
START_TEST(garbage_does_no_harm)
{
    uint64_t state = (uint64_t)_i + 1;
    int taken = 0, refused = 0;

    for (int round = 0; round < 500; round++) {
        struct arena *own = arena_new();
        uint8_t *bytes = arena_take(own, 4096), *again;
        struct problem problem = { 0 };
        size_t count = 0, again_count;
        json_t *json = NULL;

        for (int i = 0; i < 6; i++)
            count += bytes_of(both[dice(&state, (size_t)ROWS(both))].hex, bytes + count);
        count = mutate(bytes, count, &state);
        if (pbjson_decode(all, bytes, count, &problem, &json) == ERR_OK) {
            taken++;
            ck_assert_int_eq(pbjson_encode(all, json, own, &problem, &again, &again_count), ERR_OK);
            json_decref(json);
        } else {
            refused++;
            ck_assert_int_eq(problem.error, ERR_BAD_REQUEST);
            ck_assert_str_ne(problem.text, "");
        }
        arena_free(own);
    }
    ck_assert_int_gt(taken, 0);
    ck_assert_int_gt(refused, 0);
}
END_TEST

START_TEST(garbled_descriptor_sets_do_no_harm)
{
    uint64_t state = (uint64_t)_i + 1;
    size_t whole;
    uint8_t *set = make_set(&whole), *bytes = arena_take(arena, whole);

    for (int round = 0; round < 200; round++) {
        struct problem problem = { 0 };
        struct pbjson *pbjson = NULL;
        size_t count;

        memcpy(bytes, set, whole);
        count = mutate(bytes, whole, &state);
        if (pbjson_load(bytes, count, &problem, &pbjson) == ERR_OK)
            pbjson_free(pbjson);
        else
            ck_assert_str_ne(problem.text, "");
    }
}
END_TEST

START_TEST(missing_type_is_named)
{
    Google__Protobuf__FileDescriptorProto file, *files[] = { &file };
    Google__Protobuf__FileDescriptorSet set;
    Message *messages[] = { make_message("ByNumberEntry", by_number_rows, true) };
    struct problem problem;
    struct pbjson *pbjson;
    uint8_t bytes[512];

    google__protobuf__file_descriptor_set__init(&set);
    google__protobuf__file_descriptor_proto__init(&file);
    file.package = text_of("lonely");
    file.message_type = messages;
    file.n_message_type = 1;
    set.file = files;
    set.n_file = 1;
    ck_assert_int_eq(pbjson_load(bytes, google__protobuf__file_descriptor_set__pack(&set, bytes),
                                 &problem, &pbjson),
                     ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(problem.text, "test.v1.All"));
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("pbjson");

    tcase_add_unchecked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, json_to_wire_and_back, 0, ROWS(both));
    tcase_add_loop_test(tests, wire_to_json, 0, ROWS(decoded));
    tcase_add_loop_test(tests, json_is_refused, 0, ROWS(refused_json));
    tcase_add_loop_test(tests, wire_is_refused, 0, ROWS(refused_wire));
    tcase_add_test(tests, depth_has_a_limit);
    tcase_add_test(tests, unset_has_the_defaults);
    tcase_add_loop_test(tests, has_whole_numbers, 0, ROWS(whole_numbers));
    tcase_add_test(tests, storage_method_is_found);
    tcase_add_test(tests, storage_request_is_what_protobuf_c_makes);
    tcase_add_test(tests, storage_response_is_read);
    tcase_add_loop_test(tests, garbage_does_no_harm, 0, 4);
    tcase_add_loop_test(tests, garbled_descriptor_sets_do_no_harm, 0, 2);
    tcase_add_test(tests, missing_type_is_named);
    return check_run("pbjson", tests);
}
