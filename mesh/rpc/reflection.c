/* Server reflection, v1 and v1alpha: a client without .proto files asks what there is to call.
 *
 * The answers come from the descriptor set that protoc wrote and the build embedded. The two
 * versions have the same messages, byte for byte, so v1's serve both. */
#include "mesh/pb/message.h"
#include "mesh/rpc/server_inner.h"

#include <google/protobuf/descriptor.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

extern const uint8_t descriptor_set_start[], descriptor_set_end[];

typedef Google__Protobuf__FileDescriptorProto File;
typedef Google__Protobuf__DescriptorProto Message;
typedef Google__Protobuf__EnumDescriptorProto Enum;
typedef Google__Protobuf__FieldDescriptorProto Field;
typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;

/* protobuf-c's names of the cases of the two oneofs. */
#define ASK(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##kind
#define ANSWER(kind) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

struct file {
    File *parsed;
    ProtobufCBinaryData bytes; /* as protoc wrote them */
};

struct symbol {
    const char *name; /* "sagamesh.storage.v1.StorageService.Reserve" */
    size_t file;
    bool is_message;
};

struct rpc_reflection {
    struct arena *arena; /* owns all below */
    Google__Protobuf__FileDescriptorSet *set;
    struct file *files;
    size_t file_count;
    struct symbol *symbols; /* by name */
    size_t symbol_count, symbol_size;
};

static void *
arena_alloc(void *data, size_t bytes)
{
    return arena_take(data, bytes);
}

static void
arena_no_free(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

static const char *
symbol_add(struct rpc_reflection *reflection, size_t file, const char *scope, const char *name)
{
    const char *full =
        arena_print(reflection->arena, "%s%s%s", scope, scope[0] == '\0' ? "" : ".", name);

    if (reflection->symbol_count == reflection->symbol_size) {
        reflection->symbol_size = reflection->symbol_size * 2 + 64;
        reflection->symbols =
            memory_grow(reflection->symbols, reflection->symbol_size * sizeof(struct symbol));
    }
    reflection->symbols[reflection->symbol_count++] = (struct symbol){ full, file, false };
    return full;
}

/* An enum's values are names of the scope around it. */
static void
enum_add(struct rpc_reflection *reflection, size_t file, const char *scope, const Enum *type)
{
    symbol_add(reflection, file, scope, type->name);
    for (size_t i = 0; i < type->n_value; i++)
        symbol_add(reflection, file, scope, type->value[i]->name);
}

static void
message_add(struct rpc_reflection *reflection, size_t file, const char *scope, const Message *type)
{
    const char *name = symbol_add(reflection, file, scope, type->name);

    reflection->symbols[reflection->symbol_count - 1].is_message = true;
    for (size_t i = 0; i < type->n_field; i++)
        symbol_add(reflection, file, name, type->field[i]->name);
    for (size_t i = 0; i < type->n_oneof_decl; i++)
        symbol_add(reflection, file, name, type->oneof_decl[i]->name);
    for (size_t i = 0; i < type->n_extension; i++)
        symbol_add(reflection, file, name, type->extension[i]->name);
    for (size_t i = 0; i < type->n_enum_type; i++)
        enum_add(reflection, file, name, type->enum_type[i]);
    for (size_t i = 0; i < type->n_nested_type; i++)
        message_add(reflection, file, name, type->nested_type[i]);
}

static void
file_add(struct rpc_reflection *reflection, size_t index)
{
    const File *file = reflection->files[index].parsed;
    const char *scope = file->package == NULL ? "" : file->package;

    for (size_t i = 0; i < file->n_message_type; i++)
        message_add(reflection, index, scope, file->message_type[i]);
    for (size_t i = 0; i < file->n_enum_type; i++)
        enum_add(reflection, index, scope, file->enum_type[i]);
    for (size_t i = 0; i < file->n_extension; i++)
        symbol_add(reflection, index, scope, file->extension[i]->name);
    for (size_t i = 0; i < file->n_service; i++) {
        const char *name = symbol_add(reflection, index, scope, file->service[i]->name);

        for (size_t j = 0; j < file->service[i]->n_method; j++)
            symbol_add(reflection, index, name, file->service[i]->method[j]->name);
    }
}

static int
symbol_compare(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

/* A FileDescriptorSet is nothing but `repeated FileDescriptorProto file = 1`. */
static void
files_cut(struct rpc_reflection *reflection)
{
    const uint8_t *at = descriptor_set_start;

    for (size_t i = 0; i < reflection->file_count; i++) {
        size_t bytes = 0;
        unsigned shift = 0;

        assert(at < descriptor_set_end && *at == 0x0a);
        for (at++; *at >= 0x80; at++, shift += 7)
            bytes |= (size_t)(*at & 0x7f) << shift;
        bytes |= (size_t)*at++ << shift;
        reflection->files[i].parsed = reflection->set->file[i];
        reflection->files[i].bytes = (ProtobufCBinaryData){ bytes, (uint8_t *)(uintptr_t)at };
        at += bytes;
    }
    assert(at == descriptor_set_end);
}

struct rpc_reflection *
rpc_reflection_open(void)
{
    struct rpc_reflection *reflection = memory_take(sizeof *reflection);
    ProtobufCAllocator allocator = { arena_alloc, arena_no_free, NULL };

    reflection->arena = allocator.allocator_data = arena_new();
    reflection->set = google__protobuf__file_descriptor_set__unpack(
        &allocator, (size_t)(descriptor_set_end - descriptor_set_start), descriptor_set_start);
    assert(reflection->set != NULL);
    reflection->file_count = reflection->set->n_file;
    reflection->files =
        arena_take(reflection->arena, reflection->file_count * sizeof *reflection->files);
    files_cut(reflection);
    for (size_t i = 0; i < reflection->file_count; i++)
        file_add(reflection, i);
    qsort(reflection->symbols, reflection->symbol_count, sizeof(struct symbol), symbol_compare);
    return reflection;
}

struct rpc_reflection *
rpc_reflection_close(struct rpc_reflection *reflection)
{
    if (reflection == NULL)
        return NULL;
    arena_free(reflection->arena);
    free(reflection->symbols);
    free(reflection);
    return NULL;
}

static bool
file_find(const struct rpc_reflection *reflection, const char *name, size_t *ret_file)
{
    for (size_t i = 0; i < reflection->file_count; i++) {
        if (strcmp(reflection->files[i].parsed->name, name) == 0) {
            *ret_file = i;
            return true;
        }
    }
    return false;
}

static const struct symbol *
symbol_find(const struct rpc_reflection *reflection, const char *name)
{
    struct symbol key = { .name = name };

    return bsearch(&key, reflection->symbols, reflection->symbol_count, sizeof key, symbol_compare);
}

/* The file, then what it imports, each once. */
static void
closure_add(const struct rpc_reflection *reflection, size_t file, bool *is_in,
            Grpc__Reflection__V1__FileDescriptorResponse *list)
{
    const File *parsed = reflection->files[file].parsed;

    if (is_in[file])
        return;
    is_in[file] = true;
    list->file_descriptor_proto[list->n_file_descriptor_proto++] = reflection->files[file].bytes;
    for (size_t i = 0; i < parsed->n_dependency; i++) {
        size_t import;

        if (file_find(reflection, parsed->dependency[i], &import))
            closure_add(reflection, import, is_in, list);
    }
}

static void
answer_file(const struct rpc_reflection *reflection, size_t file, struct arena *arena,
            Response *response)
{
    Grpc__Reflection__V1__FileDescriptorResponse *list = arena_take(arena, sizeof *list);
    bool *is_in = arena_take(arena, reflection->file_count * sizeof *is_in);

    grpc__reflection__v1__file_descriptor_response__init(list);
    list->file_descriptor_proto =
        arena_take(arena, reflection->file_count * sizeof *list->file_descriptor_proto);
    closure_add(reflection, file, is_in, list);
    response->message_response_case = ANSWER(FILE_DESCRIPTOR_RESPONSE);
    response->file_descriptor_response = list;
}

static void
answer_error(enum error error, const char *text, struct arena *arena, Response *response)
{
    Grpc__Reflection__V1__ErrorResponse *answer = arena_take(arena, sizeof *answer);

    grpc__reflection__v1__error_response__init(answer);
    answer->error_code = (int32_t)error_wire_code(error);
    answer->error_message = arena_copy(arena, text, strlen(text));
    response->message_response_case = ANSWER(ERROR_RESPONSE);
    response->error_response = answer;
}

static void
answer_services(const struct rpc_server *server, struct arena *arena, Response *response)
{
    Grpc__Reflection__V1__ListServiceResponse *list = arena_take(arena, sizeof *list);

    grpc__reflection__v1__list_service_response__init(list);
    list->service = arena_take(arena, server->service_name_count * sizeof *list->service);
    for (size_t i = 0; i < server->service_name_count; i++) {
        Grpc__Reflection__V1__ServiceResponse *service = arena_take(arena, sizeof *service);

        grpc__reflection__v1__service_response__init(service);
        service->name = (char *)(uintptr_t)server->service_names[i];
        list->service[list->n_service++] = service;
    }
    response->message_response_case = ANSWER(LIST_SERVICES_RESPONSE);
    response->list_services_response = list;
}

/* "sagamesh.x.v1.X" is written ".sagamesh.x.v1.X" in an extension. */
static bool
is_extension_of(const Field *field, const char *type)
{
    return field->extendee != NULL && field->extendee[0] == '.' &&
           strcmp(field->extendee + 1, type) == 0;
}

/* Extensions at the top of a file; none of ours are inside a message. */
static bool
extension_find(const struct rpc_reflection *reflection, const char *type, int32_t number,
               size_t *ret_file)
{
    for (size_t i = 0; i < reflection->file_count; i++) {
        const File *file = reflection->files[i].parsed;

        for (size_t j = 0; j < file->n_extension; j++) {
            if (is_extension_of(file->extension[j], type) && file->extension[j]->number == number) {
                *ret_file = i;
                return true;
            }
        }
    }
    return false;
}

static void
answer_extension_numbers(const struct rpc_reflection *reflection, const char *type,
                         struct arena *arena, Response *response)
{
    Grpc__Reflection__V1__ExtensionNumberResponse *list = arena_take(arena, sizeof *list);
    size_t count = 0;

    for (size_t i = 0; i < reflection->file_count; i++)
        count += reflection->files[i].parsed->n_extension;
    grpc__reflection__v1__extension_number_response__init(list);
    list->base_type_name = arena_copy(arena, type, strlen(type));
    list->extension_number = arena_take(arena, count * sizeof *list->extension_number);
    for (size_t i = 0; i < reflection->file_count; i++) {
        const File *file = reflection->files[i].parsed;

        for (size_t j = 0; j < file->n_extension; j++) {
            if (is_extension_of(file->extension[j], type))
                list->extension_number[list->n_extension_number++] = file->extension[j]->number;
        }
    }
    response->message_response_case = ANSWER(ALL_EXTENSION_NUMBERS_RESPONSE);
    response->all_extension_numbers_response = list;
}

static void
request_answer(const struct rpc_server *server, const Request *request, struct arena *arena,
               Response *response)
{
    const struct rpc_reflection *reflection = server->reflection;
    const Grpc__Reflection__V1__ExtensionRequest *extension;
    const struct symbol *symbol;
    size_t file;

    switch (request->message_request_case) {
    case ASK(LIST_SERVICES):
        answer_services(server, arena, response);
        return;
    case ASK(FILE_BY_FILENAME):
        if (file_find(reflection, request->file_by_filename, &file))
            answer_file(reflection, file, arena, response);
        else
            answer_error(ERR_NOT_FOUND, "no such file", arena, response);
        return;
    case ASK(FILE_CONTAINING_SYMBOL):
        symbol = symbol_find(reflection, request->file_containing_symbol);
        if (symbol != NULL)
            answer_file(reflection, symbol->file, arena, response);
        else
            answer_error(ERR_NOT_FOUND, "no such symbol", arena, response);
        return;
    case ASK(FILE_CONTAINING_EXTENSION):
        extension = request->file_containing_extension;
        if (extension_find(reflection, extension->containing_type, extension->extension_number,
                           &file))
            answer_file(reflection, file, arena, response);
        else
            answer_error(ERR_NOT_FOUND, "no such extension", arena, response);
        return;
    case ASK(ALL_EXTENSION_NUMBERS_OF_TYPE):
        symbol = symbol_find(reflection, request->all_extension_numbers_of_type);
        if (symbol != NULL && symbol->is_message)
            answer_extension_numbers(reflection, symbol->name, arena, response);
        else
            answer_error(ERR_NOT_FOUND, "no such message", arena, response);
        return;
    default:
        answer_error(ERR_BAD_REQUEST, "a request asks one of the five questions", arena, response);
        return;
    }
}

static void
info_message(struct rpc_stream *stream, const uint8_t *bytes, size_t count)
{
    struct arena *arena;
    struct problem problem = { 0 };
    ProtobufCMessage *message;
    Response *response;

    if (bytes == NULL) { /* the client has no more questions */
        rpc_stream_end(stream, &problem);
        return;
    }
    arena = arena_new();
    response = arena_take(arena, sizeof *response);
    grpc__reflection__v1__server_reflection_response__init(response);
    if (pb_message_unpack(&grpc__reflection__v1__server_reflection_request__descriptor, bytes,
                          count, arena, &problem, &message) == ERR_OK) {
        Request *request = (Request *)message;

        response->valid_host = request->host;
        response->original_request = request;
        request_answer(stream->server, request, arena, response);
    } else {
        answer_error(problem.error, problem.text, arena, response);
    }
    stream->reply = grpc_slice_malloc(
        grpc__reflection__v1__server_reflection_response__get_packed_size(response));
    grpc__reflection__v1__server_reflection_response__pack(response,
                                                           GRPC_SLICE_START_PTR(stream->reply));
    stream->has_reply = true;
    arena_free(arena);
}

static bool
info_next(struct rpc_stream *stream, grpc_slice *ret_reply)
{
    if (!stream->has_reply)
        return false;
    stream->has_reply = false;
    *ret_reply = stream->reply;
    return true;
}

const struct rpc_stream_kind rpc_reflection_info = { info_message, info_next };
