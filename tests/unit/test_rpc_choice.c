/* test_rpc_choice.c -- Where calls go, who is left out, and when no call is made again. */
#include "mesh/base/clock.h"
#include "mesh/rpc/choice.h"
#include "mesh/rpc/retry_budget.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

enum { REPLICAS_MAX = 8, KEYS = 10000 };

static void
candidates_make(struct rpc_candidate *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char address[64];

        snprintf(address, sizeof address, "10.0.0.%zu:7401", i + 1);
        candidates[i] = (struct rpc_candidate){ .id = rpc_key(address, strlen(address)) };
    }
}

static size_t
place_of(const struct rpc_candidate *candidates, size_t count, int key)
{
    return rpc_choose(candidates, count, rpc_key(&key, sizeof key), 0, 0);
}

/* ---- who is left out ---- */

/* unwell: a letter a replica, '.' well, else unwell since then, 'a' the longest. out: 'x' is left out. */
/* clang-format off */
static const struct {
    const char *unwell, *out;
} left_out[] = {
    { ".",    "-" },
    { "a",    "-" },    /* the only one */
    { "..",   "--" },
    { "a.",   "x-" },
    { "ba",   "-x" },   /* the longest; the other may be well by now */
    { "a..",  "x--" },
    { "cba",  "--x" },  /* of three one: half, rounded down */
    { "....", "----" },
    { ".a.b", "-x-x" },
    { "cabd", "-xx-" },
    { "abcde", "xx---" },
};
/* clang-format on */

START_TEST(at_most_half_is_left_out)
{
    const char *unwell = left_out[_i].unwell;
    struct rpc_candidate candidates[REPLICAS_MAX];
    size_t count = strlen(unwell), out = 0, expected = 0;

    candidates_make(candidates, count);
    for (size_t i = 0; i < count; i++) {
        candidates[i].unwell_us = unwell[i] == '.' ? 0 : unwell[i];
        candidates[i].is_left_out = true; /* what was so before does not matter */
    }
    out = rpc_leave_out(candidates, count);
    for (size_t i = 0; i < count; i++) {
        bool is_out = left_out[_i].out[i] == 'x';

        ck_assert_msg(candidates[i].is_left_out == is_out, "%s: %zu", unwell, i);
        expected += is_out;
    }
    ck_assert_uint_eq(out, expected);
}
END_TEST

/* ---- calls with a key ---- */

START_TEST(keys_are_spread)
{
    struct rpc_candidate candidates[REPLICAS_MAX];
    size_t count = (size_t)_i, keys[REPLICAS_MAX] = { 0 };

    candidates_make(candidates, count);
    for (int key = 0; key < KEYS; key++)
        keys[place_of(candidates, count, key)]++;
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_gt(keys[i], KEYS / count * 9 / 10);
        ck_assert_uint_lt(keys[i], KEYS / count * 11 / 10);
    }
}
END_TEST

START_TEST(only_the_keys_of_a_lost_one_move)
{
    struct rpc_candidate candidates[REPLICAS_MAX], fewer[REPLICAS_MAX];
    size_t moved = 0;

    candidates_make(candidates, 4);
    memcpy(fewer, candidates, sizeof fewer);
    fewer[2].is_left_out = true;
    for (int key = 0; key < KEYS; key++) {
        size_t before = place_of(candidates, 4, key), after = place_of(fewer, 4, key);

        ck_assert_uint_ne(after, 2);
        if (before != 2)
            ck_assert_uint_eq(after, before);
        else
            moved++;
    }
    ck_assert_uint_gt(moved, KEYS / 5);
}
END_TEST

/* Every client must send a key to the same replica, whatever the order of its list. */
START_TEST(the_order_of_the_list_does_not_matter)
{
    struct rpc_candidate candidates[4], turned[4];

    candidates_make(candidates, 4);
    for (size_t i = 0; i < 4; i++)
        turned[i] = candidates[3 - i];
    for (int key = 0; key < 100; key++)
        ck_assert_uint_eq(place_of(candidates, 4, key), 3 - place_of(turned, 4, key));
}
END_TEST

/* ---- calls without one ---- */

START_TEST(the_one_with_less_under_way_is_asked)
{
    struct rpc_candidate candidates[2];

    candidates_make(candidates, 2);
    candidates[0].under_way = 7;
    candidates[1].under_way = 6;
    for (uint32_t random = 0; random < 1000; random++)
        ck_assert_uint_eq(rpc_choose(candidates, 2, 0, 0, random * 2654435761U), 1);
}
END_TEST

START_TEST(all_get_the_same)
{
    struct rpc_candidate candidates[REPLICAS_MAX];

    candidates_make(candidates, 5);
    for (uint32_t i = 0; i < 5000; i++)
        candidates[rpc_choose(candidates, 5, 0, 0, i * 2654435761U)].under_way++;
    for (size_t i = 0; i < 5; i++) {
        ck_assert_uint_gt(candidates[i].under_way, 990);
        ck_assert_uint_lt(candidates[i].under_way, 1010);
    }
}
END_TEST

/* ---- both ---- */

/* clang-format off */
static const struct {
    const char *out; /* 'x': left out */
    uint64_t tried;
    const char *asked; /* 'y': is asked at least once */
} choices[] = {
    { "",     0,  "" },
    { "-",    0,  "y" },
    { "-",    1,  "-" },
    { "x-",   0,  "-y" },
    { "x-",   2,  "--" },
    { "---",  0,  "yyy" },
    { "---",  5,  "-y-" },
    { "-x-",  1,  "--y" },
    { "-x--", 0,  "y-yy" },
    { "----", 15, "----" },
};
/* clang-format on */

START_TEST(who_is_out_or_was_tried_is_not_asked)
{
    const char *out = choices[_i].out;
    struct rpc_candidate candidates[REPLICAS_MAX];
    size_t count = strlen(out);

    candidates_make(candidates, count);
    for (size_t i = 0; i < count; i++)
        candidates[i].is_left_out = out[i] == 'x';
    for (int has_key = 0; has_key <= 1; has_key++) {
        char asked[REPLICAS_MAX + 1] = "--------";

        asked[count] = '\0';
        for (uint32_t i = 1; i < 1000; i++) {
            uint64_t key = has_key ? rpc_key(&i, sizeof i) : 0;
            size_t place = rpc_choose(candidates, count, key, choices[_i].tried, i * 2654435761U);

            if (place != RPC_NOWHERE)
                asked[place] = 'y';
        }
        ck_assert_str_eq(asked, choices[_i].asked);
    }
}
END_TEST

/* ---- the budget ---- */

/* What may be made again at once after a script: 'c' 100 calls, 's' a second later, 'r' all retries that there are. */
/* clang-format off */
static const struct {
    const char *script;
    int64_t left;
} budgets[] = {
    { "",           100 },  /* what 10 s bring */
    { "s",          100 },  /* no more is saved */
    { "r",          0 },
    { "rs",         10 },
    { "rsss",       30 },
    { "rssssssssssssssss", 100 },
    { "rc",         20 },   /* 20 % of 100 */
    { "rcccc",      80 },
    { "rcsc",       50 },
    { "c",          120 },
    { "cssssssssss", 100 }, /* calls of 10 s ago bring nothing more */
    { "cccccccccc", 300 },
    { "ccccccccccsssssssss", 300 },
    { "ccccccccccssssssssss", 100 },
};
/* clang-format on */

START_TEST(retries_are_paid_for)
{
    int64_t now_us = 1000 * SECOND_US, taken = 0;
    struct retry_budget budget;

    retry_budget_init(&budget, now_us);
    for (const char *step = budgets[_i].script; *step != '\0'; step++) {
        for (int i = 0; *step == 'c' && i < 100; i++)
            retry_budget_call(&budget, now_us);
        while (*step == 'r' && retry_budget_take(&budget, now_us))
            ;
        if (*step == 's')
            now_us += SECOND_US;
    }
    while (retry_budget_take(&budget, now_us))
        taken++;
    ck_assert_int_eq(taken, budgets[_i].left);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("choices");

    tcase_add_loop_test(cases, at_most_half_is_left_out, 0, ROWS(left_out));
    tcase_add_loop_test(cases, keys_are_spread, 1, REPLICAS_MAX + 1);
    tcase_add_test(cases, only_the_keys_of_a_lost_one_move);
    tcase_add_test(cases, the_order_of_the_list_does_not_matter);
    tcase_add_test(cases, the_one_with_less_under_way_is_asked);
    tcase_add_test(cases, all_get_the_same);
    tcase_add_loop_test(cases, who_is_out_or_was_tried_is_not_asked, 0, ROWS(choices));
    tcase_add_loop_test(cases, retries_are_paid_for, 0, ROWS(budgets));
    return check_run("rpc choice", cases);
}
