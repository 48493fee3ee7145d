/* Samplers: their names, their ratios, and the share of draws that each takes. */
#include "mesh/observe/sampler.h"
#include "tests/support/check.h"

/* clang-format off */
static const struct {
    const char *name, *ratio; /* ratio NULL: none is given */
    bool is_known, has_ratio, is_parent_based;
    uint64_t below;
} names[] = {
    { "always_on",                NULL,   true,  false, false, SAMPLER_ALL },
    { "always_off",               NULL,   true,  false, false, 0 },
    { "traceidratio",             NULL,   true,  true,  false, SAMPLER_ALL },
    { "traceidratio",             "0.5",  true,  true,  false, SAMPLER_ALL / 2 },
    { "parentbased_always_on",    NULL,   true,  false, true,  SAMPLER_ALL },
    { "parentbased_always_off",   NULL,   true,  false, true,  0 },
    { "parentbased_traceidratio", "0.25", true,  true,  true,  SAMPLER_ALL / 4 },
    { "parentbased_traceidratio", "0",    true,  true,  true,  0 },
    { "parentbased_traceidratio", "1",    true,  true,  true,  SAMPLER_ALL },
    { "parentbased_traceidratio", "1.0",  true,  true,  true,  SAMPLER_ALL },
    { "Always_On",                NULL,   false, false, false, 0 },
    { "parentbased_",             NULL,   false, false, false, 0 },
    { "jaeger_remote",            NULL,   false, false, false, 0 },
    { "",                         NULL,   false, false, false, 0 },
};
static const char *const bad_ratios[] = { "", "-0.1", "1.1", "nan", "inf", "0,5", " 1", "1 ", "half", "0x1", "1e", "--1" };
static const struct {
    const char *what;
    uint64_t below, draw;
    bool is_taken;
} draws[] = {
    { "all, the least",      SAMPLER_ALL,     0,                     true  },
    { "all, the most",       SAMPLER_ALL,     UINT64_MAX,            true  },
    { "none, the least",     0,               0,                     false },
    { "half, just below",    SAMPLER_ALL / 2, (UINT64_C(1) << 63) - 1, true  },
    { "half, just not",      SAMPLER_ALL / 2, UINT64_C(1) << 63,     false },
};
/* clang-format on */

START_TEST(a_name_is_a_sampler)
{
    struct sampler sampler = { 0 };

    ck_assert_msg(sampler_find(names[_i].name, &sampler) == names[_i].is_known, "%s",
                  names[_i].name);
    if (!names[_i].is_known)
        return;
    ck_assert_int_eq(sampler.has_ratio, names[_i].has_ratio);
    ck_assert_int_eq(sampler.is_parent_based, names[_i].is_parent_based);
    if (names[_i].ratio != NULL)
        ck_assert(sampler_set_ratio(&sampler, names[_i].ratio));
    ck_assert_uint_eq(sampler.below, names[_i].below);
}
END_TEST

START_TEST(a_bad_ratio_changes_nothing)
{
    struct sampler sampler = { .below = 42 };

    ck_assert_msg(!sampler_set_ratio(&sampler, bad_ratios[_i]), "'%s'", bad_ratios[_i]);
    ck_assert_uint_eq(sampler.below, 42);
}
END_TEST

START_TEST(a_draw_is_taken_below_the_ratio)
{
    const struct sampler sampler = { .below = draws[_i].below };

    ck_assert_msg(sampler_takes(&sampler, draws[_i].draw) == draws[_i].is_taken, "%s",
                  draws[_i].what);
}
END_TEST

/* Evenly spread draws: the share is the ratio to the draw. */
START_TEST(one_percent_is_one_percent)
{
    enum { DRAWS = 100000 };
    struct sampler sampler = { 0 };
    int taken = 0;

    ck_assert(sampler_set_ratio(&sampler, "0.01"));
    for (uint64_t i = 0; i < DRAWS; i++)
        taken += sampler_takes(&sampler, i * (UINT64_MAX / DRAWS));
    ck_assert_int_ge(taken, DRAWS / 100 - 1);
    ck_assert_int_le(taken, DRAWS / 100 + 1);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("sampler");

    tcase_add_loop_test(cases, a_name_is_a_sampler, 0, ROWS(names));
    tcase_add_loop_test(cases, a_bad_ratio_changes_nothing, 0, ROWS(bad_ratios));
    tcase_add_loop_test(cases, a_draw_is_taken_below_the_ratio, 0, ROWS(draws));
    tcase_add_test(cases, one_percent_is_one_percent);
    return check_run("observe_sampler", cases);
}
