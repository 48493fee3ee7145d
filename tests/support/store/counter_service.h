/* counter_service.h -- A service of the tests' own, small enough to see through: counters and notes.
 *
 * Add changes one or two counters (which never fall below 0, a refusal; nor rise above
 * COUNTER_VALUE_MAX, which the method does not know and a CHECK does: a poison op), and may write to a
 * note, which is news. The table of text keys stands before one of uuid keys on purpose.
 */
#ifndef TESTS_SUPPORT_STORE_COUNTER_SERVICE_H
#define TESTS_SUPPORT_STORE_COUNTER_SERVICE_H

#include "mesh/store/event.h"
#include "mesh/store/op.h"
#include "tests/support/store/call_fixture.h"

enum { COUNTER_OP, COUNTER_COUNTER, COUNTER_NOTE };
enum { COUNTER_VALUE_MAX = 1000000 };
extern const char counter_schema[];

struct counter {
    const char *name;
    int64_t value;
};

struct note {
    struct uuid id;
    int32_t version;
    const char *written;
};

struct add {
    struct op op;
    const char *name, *name_too; /* the second may be NULL */
    int64_t amount;
    struct uuid note_id; /* nil: none */
    int64_t value;       /* result: of the first counter */
    int decided;         /* how often */
};

extern const struct pg_column counter_key_text[];
extern const struct pg_column counter_key_uuid[];
extern const struct pg_column counter_columns[];
extern const struct pg_column note_columns[];
extern const struct pg_statement note_insert;
extern const struct batch_service counter_service;

struct test_call *counter_call(struct uuid id, const char *name, const char *name_too,
                               int64_t amount);
struct add *counter_op(struct test_call *test);

#endif
