/* The wire form is walked before it is unpacked: a NUL inside a string cannot be seen afterwards,
 * because protobuf-c's strings end there. */
#include "mesh/pb/message.h"
#include "mesh/base/utf8.h"

#include <stdio.h>
#include <string.h>

enum {
    DEPTH_MAX = 16, /* of submessages; our protos have 3 */
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
};

/* A message that is being walked; up is the one it is a field of. */
struct walk {
    const struct walk *up;
    const ProtobufCMessageDescriptor *descriptor;
    const uint8_t *start, *at, *end;
    const ProtobufCFieldDescriptor *field; /* the field we are in */
    int depth;
};

struct member {
    uint32_t id;
    int wire;
    const uint8_t *data; /* of WIRE_BYTES */
    size_t bytes;
};

static bool
varint_read(struct walk *walk, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (walk->at == walk->end)
            return false;
        byte = *walk->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool
skip(struct walk *walk, size_t bytes)
{
    if ((size_t)(walk->end - walk->at) < bytes)
        return false;
    walk->at += bytes;
    return true;
}

/* The next field of the message. False: what is there is no protobuf. */
static bool
member_read(struct walk *walk, struct member *ret_member)
{
    uint64_t tag, value;

    if (!varint_read(walk, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return false;
    ret_member->id = (uint32_t)(tag >> 3);
    ret_member->wire = (int)(tag & 7);
    ret_member->data = NULL;
    ret_member->bytes = 0;
    switch (ret_member->wire) {
    case WIRE_VARINT:
        return varint_read(walk, &value);
    case WIRE_FIXED64:
        return skip(walk, 8);
    case WIRE_FIXED32:
        return skip(walk, 4);
    case WIRE_BYTES:
        if (!varint_read(walk, &value) || value > (uint64_t)(walk->end - walk->at))
            return false;
        ret_member->data = walk->at;
        ret_member->bytes = (size_t)value;
        return skip(walk, ret_member->bytes);
    default: /* groups are proto2 */
        return false;
    }
}

/* How many members of the field come before the one that ends at walk->at. */
static size_t
member_index(const struct walk *walk)
{
    struct walk again = *walk;
    struct member member;
    size_t index = 0;

    again.at = walk->start;
    while (member_read(&again, &member) && again.at < walk->at) {
        if (member.id == walk->field->id)
            index++;
    }
    return index;
}

/* "lines[1].sku", from the outermost message to the field we are in. */
static size_t
path_print(const struct walk *walk, char *path, size_t size)
{
    size_t used = walk->up == NULL ? 0 : path_print(walk->up, path, size);
    int more;

    if (used + 1 < size && used > 0)
        path[used++] = '.';
    if (walk->field->label == PROTOBUF_C_LABEL_REPEATED)
        more = snprintf(path + used, size - used, "%s[%zu]", walk->field->name, member_index(walk));
    else
        more = snprintf(path + used, size - used, "%s", walk->field->name);
    used += (size_t)more;
    return used < size ? used : size - 1;
}

static enum error
refuse(const struct walk *walk, struct problem *problem, const char *rule)
{
    char path[sizeof problem->field] = "";

    path_print(walk, path, sizeof path);
    return problem_set(problem, ERR_BAD_REQUEST, path, "%s", rule);
}

static enum error message_walk(struct walk *walk, struct problem *problem);

static enum error
member_check(struct walk *walk, const struct member *member, struct problem *problem)
{
    struct walk inner = { .up = walk,
                          .start = member->data,
                          .at = member->data,
                          .end = member->data + member->bytes,
                          .depth = walk->depth + 1 };

    if (walk->field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = (const char *)member->data;

        if (memchr(text, 0, member->bytes) != NULL)
            return refuse(walk, problem, "text must not contain a NUL");
        if (!utf8_is_valid(text, member->bytes))
            return refuse(walk, problem, "text must be valid UTF-8");
    } else if (walk->field->type == PROTOBUF_C_TYPE_MESSAGE) {
        if (inner.depth > DEPTH_MAX)
            return refuse(walk, problem, "the message is nested too deep");
        inner.descriptor = walk->field->descriptor;
        return message_walk(&inner, problem);
    }
    return ERR_OK;
}

static enum error
message_walk(struct walk *walk, struct problem *problem)
{
    while (walk->at < walk->end) {
        struct member member;

        if (!member_read(walk, &member)) {
            if (walk->up != NULL)
                return refuse(walk->up, problem,
                              "the bytes are cut short or are no protobuf message");
            return problem_set(problem, ERR_BAD_REQUEST, NULL,
                               "the request is cut short or is no %s", walk->descriptor->name);
        }
        walk->field = member.wire != WIRE_BYTES
                          ? NULL
                          : protobuf_c_message_descriptor_get_field(walk->descriptor, member.id);
        if (walk->field != NULL && member_check(walk, &member, problem) != ERR_OK)
            return problem->error;
    }
    return ERR_OK;
}

/* An arena with an end: a megabyte of empty submessages must not become a hundred. */
struct budget {
    struct arena *arena;
    size_t left;
};

static void *
budget_take(void *data, size_t bytes)
{
    struct budget *budget = data;

    if (bytes > budget->left)
        return NULL;
    budget->left -= bytes;
    return arena_take(budget->arena, bytes);
}

static void
budget_free(void *data, void *memory)
{
    (void)data;
    (void)memory; /* goes with the arena */
}

enum error
pb_message_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                  struct arena *arena, struct problem *problem, ProtobufCMessage **ret_message)
{
    struct budget budget = { .arena = arena, .left = RPC_UNPACKED_BYTES_MAX };
    ProtobufCAllocator allocator = { budget_take, budget_free, &budget };
    struct walk walk = {
        .descriptor = descriptor, .start = bytes, .at = bytes, .end = bytes + count
    };
    ProtobufCMessage *message;

    if (message_walk(&walk, problem) != ERR_OK)
        return problem->error;
    message = protobuf_c_message_unpack(descriptor, &allocator, count, bytes);
    if (message == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, NULL,
                           "the request is no %s, or has too many parts", descriptor->name);
    *ret_message = message;
    return ERR_OK;
}

static bool
is_flat_below(const ProtobufCMessageDescriptor *descriptor, int depth)
{
    if (depth > DEPTH_MAX)
        return false;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];

        if (field->type == PROTOBUF_C_TYPE_MESSAGE && !is_flat_below(field->descriptor, depth + 1))
            return false;
    }
    return true;
}

bool
pb_message_is_flat(const ProtobufCMessageDescriptor *descriptor)
{
    return is_flat_below(descriptor, 0);
}
