/* Which steps a database lacks, and which programs may work on it. */
#include "mesh/store/schema.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

/* What the program knows. Step 3 takes away what step 2 made needless. */
static const struct schema_step known[] = {
    { 1, false, "base", "CREATE TABLE one ()" },
    { 2, false, "note", "ALTER TABLE one ADD COLUMN note text" },
    { 3, true, "old_note", "ALTER TABLE one DROP COLUMN old_note" },
    { 4, false, "more", "ALTER TABLE one ADD COLUMN more text" },
    { 0 },
};

/* Steps that were applied, in signs: "e" expand, "c" contract, "x" one whose text was another's, "-" none. */
static void
rows_make(const char *signs, struct schema_row rows[16], struct schema_rows *ret)
{
    *ret = (struct schema_rows){ .is_there = true, .rows = rows };
    for (int version = 1; signs[version - 1] != '\0'; version++) {
        struct schema_row *row = &rows[ret->count];
        char sign = signs[version - 1];

        if (sign == '-')
            continue;
        *row = (struct schema_row){ .version = version, .is_contract = sign == 'c' };
        snprintf(row->name, sizeof row->name, "step_%d", version);
        if (version <= 4)
            schema_digest(&known[version - 1], row->digest);
        if (sign == 'x')
            row->digest[0] = row->digest[0] == '0' ? '1' : '0';
        ret->count++;
    }
}

/* clang-format off */
static const struct {
    const char *applied;
    int next_expand, next_any; /* 0: none */
    bool fits, agrees;
} rows[] = {
    { "",       1, 1, false, true },  /* empty */
    { "e",      2, 2, false, true },  /* the program before */
    { "ee",     4, 3, false, true },
    { "eece",   0, 0, true,  true },
    { "ee-e",   0, 3, true,  true },  /* upgraded, and older programs may run yet */
    { "eec",    4, 4, false, true },
    { "e-ce",   2, 2, false, true },  /* no order that we make, and no reason to be wrong about it */
    { "ee-ee",  0, 3, true,  true },  /* of the next program, side by side */
    { "eeceee", 0, 0, true,  true },
    { "eeceec", 0, 0, false, false }, /* a step of the next program took something away */
    { "xe-e",   0, 3, true,  false }, /* an edited one stops no program, and all migrations */
    { "eexe",   0, 0, true,  false },
    { "eecex",  0, 0, true,  true },  /* what is not known cannot differ */
};
/* clang-format on */

START_TEST(what_comes_next)
{
    struct schema_row made[16];
    struct schema_rows applied;
    const struct schema_step *step;

    rows_make(rows[_i].applied, made, &applied);
    step = schema_next(known, &applied, false);
    ck_assert_int_eq(step == NULL ? 0 : step->version, rows[_i].next_expand);
    step = schema_next(known, &applied, true);
    ck_assert_int_eq(step == NULL ? 0 : step->version, rows[_i].next_any);
}
END_TEST

START_TEST(who_may_work_on_it)
{
    struct schema_row made[16];
    struct schema_rows applied;
    char words[SCHEMA_WORDS_BYTES] = "";

    rows_make(rows[_i].applied, made, &applied);
    ck_assert_msg(schema_fits(known, &applied, words) == rows[_i].fits, "fits '%s': %s",
                  rows[_i].applied, words);
    ck_assert(rows[_i].fits == (words[0] == '\0'));
    words[0] = '\0';
    ck_assert_msg(schema_agrees(known, &applied, words) == rows[_i].agrees, "agrees '%s': %s",
                  rows[_i].applied, words);
    ck_assert(rows[_i].agrees == (words[0] == '\0'));
}
END_TEST

START_TEST(words_name_the_step)
{
    struct schema_row made[16];
    struct schema_rows applied;
    char words[SCHEMA_WORDS_BYTES];

    rows_make("e", made, &applied);
    ck_assert(!schema_fits(known, &applied, words));
    ck_assert_ptr_nonnull(strstr(words, "it lacks step 2 (note)"));
    rows_make("eeceec", made, &applied);
    ck_assert(!schema_fits(known, &applied, words));
    ck_assert_ptr_nonnull(
        strstr(words, "it had contract step 6 (step_6), and this program knows steps up to 4"));
    rows_make("ex", made, &applied);
    ck_assert(!schema_agrees(known, &applied, words));
    ck_assert_ptr_nonnull(strstr(words, "step 2 is not what was applied"));
    ck_assert_int_eq(schema_last(known), 4);
    ck_assert_int_eq(schema_last(&known[4]), 0);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("steps");

    tcase_add_loop_test(cases, what_comes_next, 0, ROWS(rows));
    tcase_add_loop_test(cases, who_may_work_on_it, 0, ROWS(rows));
    tcase_add_test(cases, words_name_the_step);
    return check_run("store_schema", cases);
}
