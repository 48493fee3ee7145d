/* pbjson_inner.h -- Types as pbjson knows them, shared by its three files. Not for others. */
#ifndef MESH_PB_PBJSON_INNER_H
#define MESH_PB_PBJSON_INNER_H

#include "mesh/pb/pbjson.h"
#include "mesh/pb/pbwire.h"

/* The numbers of FieldDescriptorProto.Type. */
enum pbjson_type {
    PBJSON_DOUBLE = 1,
    PBJSON_FLOAT,
    PBJSON_INT64,
    PBJSON_UINT64,
    PBJSON_INT32,
    PBJSON_FIXED64,
    PBJSON_FIXED32,
    PBJSON_BOOL,
    PBJSON_STRING,
    PBJSON_GROUP, /* proto2 only: not supported */
    PBJSON_MESSAGE,
    PBJSON_BYTES,
    PBJSON_UINT32,
    PBJSON_ENUM,
    PBJSON_SFIXED32,
    PBJSON_SFIXED64,
    PBJSON_SINT32,
    PBJSON_SINT64,
    PBJSON_TYPE_COUNT,
};

struct pbjson_enum {
    const char *name;
    struct pbjson_value {
        const char *name;
        int32_t number;
    } * values;
    size_t count;
};

struct pbjson_field {
    const char *name, *json_name;
    uint32_t number;
    enum pbjson_type type;
    bool is_repeated;
    bool is_unpacked;      /* repeated numbers each with a tag of their own */
    bool has_presence;     /* unset and default are two things: messages, oneofs, optional */
    int oneof;             /* its index in the message; -1: in none */
    const char *type_name; /* of messages and enums, for load */
    const struct pbjson_message *message;
    const struct pbjson_enum *enumeration;
};

struct pbjson_message {
    const char *name;            /* "sagamesh.storage.v1.ReserveRequest" */
    struct pbjson_field *fields; /* by number */
    size_t count;
    bool is_map_entry;   /* fields[0] is the key, fields[1] the value */
    bool is_unsupported; /* has a JSON form of its own that we do not know */
};

/* Where we are, for problems: "lines[1].quantity". Lives on the stack. */
struct pbjson_path {
    const struct pbjson_path *up; /* NULL: the outermost message, which has no name */
    const char *name;             /* a field's; NULL: an element of the field above */
    size_t index;
    const char *key; /* of a map; NULL: index counts */
};

/* ERR_BAD_REQUEST with the path. */
enum error pbjson_refuse(struct problem *problem, const struct pbjson_path *path,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline bool
pbjson_is_map(const struct pbjson_field *field)
{
    return field->is_repeated && field->message != NULL && field->message->is_map_entry;
}

/* How a type's values lie on the wire. */
enum pbwire_type pbjson_wire_type(enum pbjson_type type);

const char *pbjson_type_name(const struct pbjson_field *field);

#endif
