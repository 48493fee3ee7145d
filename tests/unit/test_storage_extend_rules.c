/* What Extend decides, without a database, and what of its requests is refused. */
#include "mesh/base/clock.h"
#include "mesh/store/batch_rows.h"
#include "storage-svc/storage.h"
#include "tests/support/check.h"

#include <sagamesh/storage/v1/storage_service.pb-c.h>
#include <stdlib.h>
#include <string.h>

static struct arena *arena;
static struct batch_rows *rows;
static int64_t now_us;

static void
set_up(void)
{
    now_us = clock_now_us();
    arena = arena_new();
    rows = batch_rows_new(&storage_service, arena);
}

static void
tear_down(void)
{
    arena = arena_free(arena);
}

/* Times are seconds from now. */
/* clang-format off */
enum { NO_HOLD = -1, WEEK = HOLD_SECONDS_MAX };
static const struct {
    const char *what;
    int state; /* NO_HOLD: there is none */
    int64_t until_s, asked_s;
    const char *reason;
    int64_t after_s;
} extends[] = {
    /*                                      state           until asked     reason           after */
    { "an hour longer",                     HOLD_HELD,      900,  3600,     "",              3600  },
    { "the later counts",                   HOLD_HELD,      900,  60,       "",              900   },
    { "the same again",                     HOLD_HELD,      900,  900,      "",              900   },
    { "over, and not yet ended",            HOLD_HELD,      -5,   60,       "",              60    },
    { "to a time that is past",             HOLD_HELD,      900,  -60,      "",              900   },
    { "to a week from now",                 HOLD_HELD,      900,  WEEK,     "",              WEEK  },
    { "one second more than a week",        HOLD_HELD,      900,  WEEK + 1, "UNTIL_TOO_FAR", 900   },
    { "sold: it is held for good",          HOLD_CONFIRMED, 900,  3600,     "",              900   },
    { "released",                           HOLD_RELEASED,  900,  3600,     "HOLD_ENDED",    900   },
    { "expired",                            HOLD_EXPIRED,   900,  3600,     "HOLD_ENDED",    900   },
    { "released, and too far",              HOLD_RELEASED,  900,  WEEK + 1, "HOLD_ENDED",    900   },
    { "its Reserve was refused",            HOLD_REFUSED,   0,    3600,     "HOLD_ENDED",    0     },
    { "never made",                         NO_HOLD,        0,    3600,     "HOLD_ENDED",    0     },
};
/* clang-format on */

START_TEST(extends_decide)
{
    struct extend extend = { .op.id = uuid_v7(now_us),
                             .op.now_us = now_us,
                             .op.traceparent = "",
                             .hold_id = uuid_v7(now_us),
                             .until_us = now_us + extends[_i].asked_s * SECOND_US };
    struct hold *hold = NULL;

    batch_rows_touch_records(rows, extend.op.id);
    batch_rows_touch_records(rows, extend.hold_id);
    if (extends[_i].state != NO_HOLD) {
        hold = batch_add_uuid(rows, STORAGE_HOLD, extend.hold_id);
        hold->state = extends[_i].state;
        hold->until_us = now_us + extends[_i].until_s * SECOND_US;
    }
    extend_decide(&extend, rows);
    ck_assert_msg(strcmp(problem_reason(&extend.op.problem), extends[_i].reason) == 0, "%s: %s",
                  extends[_i].what, extend.op.problem.text);
    if (hold != NULL) {
        ck_assert_msg(hold->until_us == now_us + extends[_i].after_s * SECOND_US, "%s: until",
                      extends[_i].what);
        ck_assert_msg(hold->state == extends[_i].state, "%s: state", extends[_i].what);
    }
    ck_assert_ptr_nonnull(batch_find_uuid(rows, STORAGE_OP, extend.op.id));
}
END_TEST

/* clang-format off */
static const struct {
    const char *what;
    bool has_id, has_hold;
    int64_t until_us;
    const char *field;
} requests[] = {
    { "all is well",          true,  true,  1,         ""           },
    { "no request id",        false, true,  1,         "request_id" },
    { "no hold",              true,  false, 1,         "hold_id"    },
    { "no time",              true,  true,  0,         "until_us"   },
    { "before 1970",          true,  true,  INT64_MIN, "until_us"   },
    { "the end of all times", true,  true,  INT64_MAX, ""           },
};
/* clang-format on */

START_TEST(extends_decode)
{
    Sagamesh__Storage__V1__ExtendRequest request = SAGAMESH__STORAGE__V1__EXTEND_REQUEST__INIT;
    const struct method *method = storage_methods;
    char id[UUID_TEXT_BYTES + 1], hold[UUID_TEXT_BYTES + 1];
    struct extend extend = { 0 };

    while (strcmp(method->name, "Extend") != 0)
        method++;
    uuid_print(uuid_v7(now_us), id);
    uuid_print(uuid_v7(now_us), hold);
    if (requests[_i].has_id)
        request.request_id = id;
    if (requests[_i].has_hold)
        request.hold_id = hold;
    request.until_us = requests[_i].until_us;
    method->decode(&request.base, arena, &extend);
    ck_assert_msg(strcmp(extend.op.problem.field, requests[_i].field) == 0, "%s: %s",
                  requests[_i].what, extend.op.problem.field);
}
END_TEST

int
main(void)
{
    TCase *rules = check_case("rules");

    tcase_add_checked_fixture(rules, set_up, tear_down);
    tcase_add_loop_test(rules, extends_decide, 0, ROWS(extends));
    tcase_add_loop_test(rules, extends_decode, 0, ROWS(requests));
    return check_run("storage extend rules", rules);
}
