/* The types of a FileDescriptorSet, found by name. Read in two passes: first every message, enum and
 * method gets its place, then what they say about each other is looked up. */
#include "mesh/pb/pbjson_inner.h"

#include <google/protobuf/descriptor.pb-c.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__FileDescriptorSet Set;
typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;
typedef Google__Protobuf__FieldDescriptorProto Field;
typedef Google__Protobuf__EnumDescriptorProto Enum;
typedef Google__Protobuf__ServiceDescriptorProto Service;

struct named_method {
    const char *name; /* "sagamesh.storage.v1.StorageService/Reserve" */
    const char *request, *response;
    struct pbjson_method method;
};

/* Each array sorted by name once it is full. */
struct pbjson {
    struct arena *arena;
    struct pbjson_message **messages;
    struct pbjson_enum **enums;
    struct named_method **methods;
    size_t message_count, enum_count, method_count;
};

/* What has a JSON form of its own in proto3; ours do not use them, so they are refused, not
 * half-done. */
static const char *const unsupported[] = {
    "google.protobuf.Any",         "google.protobuf.BoolValue",   "google.protobuf.BytesValue",
    "google.protobuf.DoubleValue", "google.protobuf.Duration",    "google.protobuf.FieldMask",
    "google.protobuf.FloatValue",  "google.protobuf.Int32Value",  "google.protobuf.Int64Value",
    "google.protobuf.ListValue",   "google.protobuf.StringValue", "google.protobuf.Struct",
    "google.protobuf.Timestamp",   "google.protobuf.UInt32Value", "google.protobuf.UInt64Value",
    "google.protobuf.Value",
};

/* clang-format off */
static const struct {
    const char *name;
    enum pbwire_type wire;
} types[PBJSON_TYPE_COUNT] = {
    [PBJSON_DOUBLE]   = { "double",   PBWIRE_FIXED64 },
    [PBJSON_FLOAT]    = { "float",    PBWIRE_FIXED32 },
    [PBJSON_INT64]    = { "int64",    PBWIRE_VARINT  },
    [PBJSON_UINT64]   = { "uint64",   PBWIRE_VARINT  },
    [PBJSON_INT32]    = { "int32",    PBWIRE_VARINT  },
    [PBJSON_FIXED64]  = { "fixed64",  PBWIRE_FIXED64 },
    [PBJSON_FIXED32]  = { "fixed32",  PBWIRE_FIXED32 },
    [PBJSON_BOOL]     = { "bool",     PBWIRE_VARINT  },
    [PBJSON_STRING]   = { "string",   PBWIRE_BYTES   },
    [PBJSON_GROUP]    = { "group",    PBWIRE_BYTES   },
    [PBJSON_MESSAGE]  = { "message",  PBWIRE_BYTES   },
    [PBJSON_BYTES]    = { "bytes",    PBWIRE_BYTES   },
    [PBJSON_UINT32]   = { "uint32",   PBWIRE_VARINT  },
    [PBJSON_ENUM]     = { "enum",     PBWIRE_VARINT  },
    [PBJSON_SFIXED32] = { "sfixed32", PBWIRE_FIXED32 },
    [PBJSON_SFIXED64] = { "sfixed64", PBWIRE_FIXED64 },
    [PBJSON_SINT32]   = { "sint32",   PBWIRE_VARINT  },
    [PBJSON_SINT64]   = { "sint64",   PBWIRE_VARINT  },
};
/* clang-format on */

enum pbwire_type
pbjson_wire_type(enum pbjson_type type)
{
    return types[type].wire;
}

const char *
pbjson_type_name(const struct pbjson_field *field)
{
    return types[field->type].name;
}

/* ---- paths ---- */

static size_t
path_print(const struct pbjson_path *path, char *text, size_t size)
{
    size_t used;
    int more;

    if (path == NULL)
        return 0;
    used = path_print(path->up, text, size);
    if (path->name != NULL)
        more = snprintf(text + used, size - used, "%s%s", used > 0 ? "." : "", path->name);
    else if (path->key != NULL)
        more = snprintf(text + used, size - used, "[\"%s\"]", path->key);
    else
        more = snprintf(text + used, size - used, "[%zu]", path->index);
    used += (size_t)more;
    return used < size ? used : size - 1;
}

enum error
pbjson_refuse(struct problem *problem, const struct pbjson_path *path, const char *format, ...)
{
    char field[sizeof problem->field] = "", text[sizeof problem->text];
    va_list arguments;

    path_print(path, field, sizeof field);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return problem_set(problem, ERR_BAD_REQUEST, field, "%s", text);
}

/* ---- lookups ---- */

/* Everything that is looked up begins with its name. */
static int
name_compare(const void *a, const void *b)
{
    const char *const *left = *(const char *const *const *)a;
    const char *const *right = *(const char *const *const *)b;

    return strcmp(*left, *right);
}

static void *
find(void *array, size_t count, const char *name)
{
    const char *const *key = &name;
    void **found = count == 0 ? NULL : bsearch(&key, array, count, sizeof(void *), name_compare);

    return found == NULL ? NULL : *found;
}

const struct pbjson_message *
pbjson_message_find(const struct pbjson *pbjson, const char *name)
{
    return find(pbjson->messages, pbjson->message_count, name);
}

bool
pbjson_method_find(const struct pbjson *pbjson, const char *service, const char *method,
                   struct pbjson_method *ret_method)
{
    char name[512];
    const struct named_method *found;

    if (snprintf(name, sizeof name, "%s/%s", service, method) >= (int)sizeof name)
        return false;
    found = find(pbjson->methods, pbjson->method_count, name);
    if (found == NULL)
        return false;
    *ret_method = found->method;
    return true;
}

bool
pbjson_message_has(const struct pbjson_message *message, const char *field)
{
    for (size_t i = 0; i < message->count; i++) {
        if (strcmp(message->fields[i].name, field) == 0 ||
            strcmp(message->fields[i].json_name, field) == 0)
            return true;
    }
    return false;
}

/* ---- first pass: places ---- */

struct load {
    struct pbjson *pbjson;
    struct problem *problem;
    bool is_proto3; /* the file that is being read */
};

static const char *
copy(struct load *load, const char *text)
{
    return arena_copy(load->pbjson->arena, text == NULL ? "" : text,
                      text == NULL ? 0 : strlen(text));
}

static const char *
full_name(struct load *load, const char *scope, const char *name)
{
    return arena_print(load->pbjson->arena, "%s%s%s", scope, scope[0] == '\0' ? "" : ".",
                       name == NULL ? "" : name);
}

/* Adds one to an array of pointers that grows by doubling. */
static void
append(struct load *load, void *array, size_t *count, void *element)
{
    void ***elements = array;

    if ((*count & (*count - 1)) == 0) { /* 0 or a power of two: full */
        void **grown =
            arena_take(load->pbjson->arena, (*count == 0 ? 1 : *count * 2) * sizeof *grown);

        if (*count > 0)
            memcpy(grown, *elements, *count * sizeof *grown);
        *elements = grown;
    }
    (*elements)[(*count)++] = element;
}

static const char *
json_name_of(struct load *load, const Field *field)
{
    char *name = arena_take(load->pbjson->arena, strlen(field->name) + 1), *at = name;
    bool is_upper = false;

    if (field->json_name != NULL)
        return copy(load, field->json_name);
    for (const char *c = field->name; *c != '\0'; c++) {
        if (*c != '_')
            *at++ = is_upper && *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        is_upper = *c == '_';
    }
    return name;
}

static enum error
field_load(struct load *load, const Field *from, struct pbjson_field *field)
{
    bool is_packed = load->is_proto3;
    int type = (int)from->type;

    if (from->name == NULL || from->number < 1 || from->number > PBWIRE_NUMBER_MAX ||
        type < PBJSON_DOUBLE || type >= PBJSON_TYPE_COUNT)
        return problem_set(load->problem, ERR_BAD_REQUEST, "descriptors",
                           "a field has no name, number or type");
    if (from->options != NULL && from->options->has_packed)
        is_packed = from->options->packed;
    field->name = copy(load, from->name);
    field->json_name = json_name_of(load, from);
    field->number = (uint32_t)from->number;
    field->type = (enum pbjson_type)type;
    field->is_repeated =
        from->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
    field->is_unpacked = !is_packed;
    field->oneof = from->has_oneof_index ? from->oneof_index : -1;
    field->has_presence = !field->is_repeated &&
                          (field->type == PBJSON_MESSAGE || field->oneof >= 0 || !load->is_proto3);
    field->type_name = copy(load, from->type_name);
    return ERR_OK;
}

static int
number_compare(const void *a, const void *b)
{
    const struct pbjson_field *left = a, *right = b;

    return (left->number > right->number) - (left->number < right->number);
}

static bool
name_is_unsupported(const char *name)
{
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++) {
        if (strcmp(name, unsupported[i]) == 0)
            return true;
    }
    return false;
}

static void
enum_load(struct load *load, const char *scope, const Enum *from)
{
    struct pbjson_enum *loaded = arena_take(load->pbjson->arena, sizeof *loaded);

    loaded->name = full_name(load, scope, from->name);
    loaded->values = arena_take(load->pbjson->arena, from->n_value * sizeof *loaded->values);
    loaded->count = from->n_value;
    for (size_t i = 0; i < from->n_value; i++) {
        loaded->values[i].name = copy(load, from->value[i]->name);
        loaded->values[i].number = from->value[i]->number;
    }
    append(load, &load->pbjson->enums, &load->pbjson->enum_count, loaded);
}

static enum error
message_load(struct load *load, const char *scope, const Message *from)
{
    struct pbjson_message *loaded = arena_take(load->pbjson->arena, sizeof *loaded);

    loaded->name = full_name(load, scope, from->name);
    loaded->is_unsupported = name_is_unsupported(loaded->name);
    loaded->fields = arena_take(load->pbjson->arena, from->n_field * sizeof *loaded->fields);
    for (; loaded->count < from->n_field; loaded->count++) {
        if (field_load(load, from->field[loaded->count], &loaded->fields[loaded->count]) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    if (loaded->count > 1)
        qsort(loaded->fields, loaded->count, sizeof *loaded->fields, number_compare);
    loaded->is_map_entry = from->options != NULL && from->options->map_entry &&
                           loaded->count == 2 && loaded->fields[0].type != PBJSON_MESSAGE &&
                           loaded->fields[0].number == 1 && !loaded->fields[0].is_repeated &&
                           !loaded->fields[1].is_repeated;
    append(load, &load->pbjson->messages, &load->pbjson->message_count, loaded);
    for (size_t i = 0; i < from->n_enum_type; i++)
        enum_load(load, loaded->name, from->enum_type[i]);
    for (size_t i = 0; i < from->n_nested_type; i++) {
        if (message_load(load, loaded->name, from->nested_type[i]) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

static void
service_load(struct load *load, const char *scope, const Service *from)
{
    const char *name = full_name(load, scope, from->name);

    for (size_t i = 0; i < from->n_method; i++) {
        const Google__Protobuf__MethodDescriptorProto *method = from->method[i];
        struct named_method *loaded = arena_take(load->pbjson->arena, sizeof *loaded);

        loaded->name = arena_print(load->pbjson->arena, "%s/%s", name,
                                   method->name == NULL ? "" : method->name);
        loaded->request = copy(load, method->input_type);
        loaded->response = copy(load, method->output_type);
        loaded->method.is_streaming = method->client_streaming || method->server_streaming;
        append(load, &load->pbjson->methods, &load->pbjson->method_count, loaded);
    }
}

static enum error
file_load(struct load *load, const File *file)
{
    const char *package = file->package == NULL ? "" : file->package;

    load->is_proto3 = file->syntax != NULL && strcmp(file->syntax, "proto3") == 0;
    for (size_t i = 0; i < file->n_enum_type; i++)
        enum_load(load, package, file->enum_type[i]);
    for (size_t i = 0; i < file->n_service; i++)
        service_load(load, package, file->service[i]);
    for (size_t i = 0; i < file->n_message_type; i++) {
        if (message_load(load, package, file->message_type[i]) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

/* ---- second pass: who means whom ---- */

static enum error
refuse_missing(struct load *load, const char *type, const char *user)
{
    return problem_set(load->problem, ERR_BAD_REQUEST, "descriptors",
                       "%s uses %s, which is not in the set (protoc --include_imports)", user,
                       type);
}

/* protoc writes full names, with a dot in front. */
static const char *
reference(const char *type_name)
{
    return type_name + (type_name[0] == '.');
}

static enum error
field_link(struct load *load, const struct pbjson_message *message, struct pbjson_field *field)
{
    struct pbjson *pbjson = load->pbjson;
    const char *name = reference(field->type_name);

    if (field->type == PBJSON_MESSAGE) {
        field->message = find(pbjson->messages, pbjson->message_count, name);
        if (field->message == NULL)
            return refuse_missing(load, name, message->name);
    } else if (field->type == PBJSON_ENUM) {
        field->enumeration = find(pbjson->enums, pbjson->enum_count, name);
        if (field->enumeration == NULL)
            return refuse_missing(load, name, message->name);
    }
    return ERR_OK;
}

static enum error
method_link(struct load *load, struct named_method *method)
{
    const struct pbjson *pbjson = load->pbjson;

    method->method.request = pbjson_message_find(pbjson, reference(method->request));
    method->method.response = pbjson_message_find(pbjson, reference(method->response));
    if (method->method.request == NULL)
        return refuse_missing(load, method->request, method->name);
    if (method->method.response == NULL)
        return refuse_missing(load, method->response, method->name);
    return ERR_OK;
}

static void
sort(void *array, size_t count)
{
    if (count > 1)
        qsort(array, count, sizeof(void *), name_compare);
}

static enum error
link_all(struct load *load)
{
    struct pbjson *pbjson = load->pbjson;

    sort(pbjson->messages, pbjson->message_count);
    sort(pbjson->enums, pbjson->enum_count);
    sort(pbjson->methods, pbjson->method_count);
    for (size_t i = 0; i < pbjson->message_count; i++) {
        struct pbjson_message *message = pbjson->messages[i];

        for (size_t field = 0; field < message->count; field++) {
            if (field_link(load, message, &message->fields[field]) != ERR_OK)
                return ERR_BAD_REQUEST;
        }
    }
    for (size_t i = 0; i < pbjson->method_count; i++) {
        if (method_link(load, pbjson->methods[i]) != ERR_OK)
            return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

enum error
pbjson_load(const uint8_t *descriptor_set, size_t bytes, struct problem *problem,
            struct pbjson **ret_pbjson)
{
    Set *set = google__protobuf__file_descriptor_set__unpack(NULL, bytes, descriptor_set);
    struct load load = { .problem = problem };
    enum error error = ERR_OK;

    if (set == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, "descriptors",
                           "is not a FileDescriptorSet (protoc --descriptor_set_out)");
    load.pbjson = memory_take(sizeof *load.pbjson);
    load.pbjson->arena = arena_new();
    for (size_t i = 0; i < set->n_file && error == ERR_OK; i++)
        error = file_load(&load, set->file[i]);
    if (error == ERR_OK)
        error = link_all(&load);
    google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
    if (error == ERR_OK)
        *ret_pbjson = load.pbjson;
    else
        pbjson_free(load.pbjson);
    return error;
}

struct pbjson *
pbjson_free(struct pbjson *pbjson)
{
    if (pbjson == NULL)
        return NULL;
    arena_free(pbjson->arena);
    free(pbjson);
    return NULL;
}
