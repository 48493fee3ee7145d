/* The hash that is stored for ever, the one that no caller can foresee, and a map by it. */
#include "mesh/base/hash.h"
#include "mesh/base/map.h"
#include "mesh/base/uuid.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the stored one ---- */

/* FNV-1a's own vectors. */
START_TEST(bytes_are_hashed_as_ever)
{
    ck_assert_uint_eq(hash_bytes(HASH_SEED, "", 0), UINT64_C(0xcbf29ce484222325));
    ck_assert_uint_eq(hash_bytes(HASH_SEED, "a", 1), UINT64_C(0xaf63dc4c8601ec8c));
    ck_assert_uint_eq(hash_bytes(HASH_SEED, "foobar", 6), UINT64_C(0x85944171f73967e8));
}
END_TEST

/* Fingerprints of requests of years ago. A test that fails here is not to be mended. */
START_TEST(fingerprints_are_as_ever)
{
    ck_assert_uint_eq(hash_end(hash_text(HASH_SEED, "pen-1")), UINT64_C(0xc107e0228eaf903a));
    ck_assert_uint_eq(hash_end(hash_int(HASH_SEED, -2)), UINT64_C(0x9729f5179431dda9));
    ck_assert_uint_eq(hash_end(hash_int(hash_text(hash_text(HASH_SEED + 4, "ab"), "c"), 1000)),
                      UINT64_C(0xdb4c50c2aa073b0));
}
END_TEST

START_TEST(hashes_part_what_differs)
{
    uint64_t ab_c = hash_text(hash_text(HASH_SEED, "ab"), "c");
    uint64_t a_bc = hash_text(hash_text(HASH_SEED, "a"), "bc");

    ck_assert_uint_ne(ab_c, a_bc);
    ck_assert_uint_ne(hash_int(HASH_SEED, 1), hash_int(HASH_SEED, -1));
    ck_assert_uint_ne(hash_end(hash_text(HASH_SEED, "a")), hash_end(hash_text(HASH_SEED, "b")));
}
END_TEST

/* ---- the one of this process ---- */

static const char *program;

static uint64_t
of_another_process(void)
{
    char command[512];
    unsigned long long hash = 0;
    FILE *pipe;

    snprintf(command, sizeof command, "'%s' hash", program);
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_int_eq(fscanf(pipe, "%llx", &hash), 1);
    ck_assert_int_eq(pclose(pipe), 0);
    return hash;
}

START_TEST(each_process_has_a_hash_of_its_own)
{
    uint64_t here = hash_in_memory("pen-1", 5), there = of_another_process();

    ck_assert_uint_eq(hash_in_memory("pen-1", 5), here);
    ck_assert_uint_ne(hash_in_memory("pen-2", 5), here);
    ck_assert_uint_ne(there, here);
    ck_assert_uint_ne(of_another_process(), there);
}
END_TEST

/* ---- a map ---- */

struct thing {
    UT_hash_handle by_id, by_name;
    struct uuid id;
    char name[32];
    bool is_in;
};

enum { THINGS = 3000, STEPS = 30000 };

START_TEST(a_map_knows_what_is_in_it)
{
    struct thing *things = calloc(THINGS, sizeof *things), *by_id = NULL, *by_name = NULL;
    unsigned random = 1, count = 0;

    for (int i = 0; i < THINGS; i++) {
        things[i].id = uuid_v7(INT64_C(1795262400000000) + i);
        snprintf(things[i].name, sizeof things[i].name, "thing %d", i);
    }
    for (int step = 0; step < STEPS; step++) {
        struct thing *one = &things[rand_r(&random) % THINGS], *found, *named;

        HASH_FIND(by_id, by_id, &one->id, sizeof one->id, found);
        HASH_FIND(by_name, by_name, one->name, strlen(one->name), named);
        if (found != (one->is_in ? one : NULL) || named != found)
            ck_abort_msg("step %d: %s", step, one->name);
        if (one->is_in) {
            HASH_DELETE(by_id, by_id, one);
            HASH_DELETE(by_name, by_name, one);
        } else {
            HASH_ADD(by_id, by_id, id, sizeof one->id, one);
            HASH_ADD_KEYPTR(by_name, by_name, one->name, strlen(one->name), one);
        }
        one->is_in = !one->is_in;
        count += one->is_in ? 1 : -1u;
        if (HASH_CNT(by_id, by_id) != count || HASH_CNT(by_name, by_name) != count)
            ck_abort_msg("step %d: %u in it, not %u", step, HASH_CNT(by_id, by_id), count);
    }
    ck_assert_uint_gt(count, THINGS / 4);
    HASH_CLEAR(by_id, by_id);
    HASH_CLEAR(by_name, by_name);
    ck_assert_ptr_null(by_id);
    free(things);
}
END_TEST

START_TEST(elements_come_in_the_order_of_their_coming)
{
    struct thing things[5] = { 0 }, *map = NULL, *one, *next;
    int seen = 0;

    for (int i = 0; i < 5; i++) {
        things[i].id.bytes[0] = (uint8_t)(i * 77);
        HASH_ADD(by_id, map, id, sizeof things[i].id, &things[i]);
    }
    HASH_ITER (by_id, map, one, next) {
        ck_assert_ptr_eq(one, &things[seen++]);
        HASH_DELETE(by_id, map, one);
    }
    ck_assert_int_eq(seen, 5);
    ck_assert_ptr_null(map);
}
END_TEST

int
main(int count, char **arguments)
{
    TCase *cases;

    program = arguments[0];
    if (count > 1) { /* the other process: of_another_process() */
        printf("%llx\n", (unsigned long long)hash_in_memory("pen-1", 5));
        return 0;
    }
    cases = check_case("hash");
    tcase_add_test(cases, bytes_are_hashed_as_ever);
    tcase_add_test(cases, fingerprints_are_as_ever);
    tcase_add_test(cases, hashes_part_what_differs);
    tcase_add_test(cases, each_process_has_a_hash_of_its_own);
    tcase_add_test(cases, a_map_knows_what_is_in_it);
    tcase_add_test(cases, elements_come_in_the_order_of_their_coming);
    return check_run("base_hash", cases);
}
