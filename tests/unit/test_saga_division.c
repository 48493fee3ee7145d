/* test_saga_division.c -- How orchestrators divide the shards: evenly, with as few moves as may be. */
#include "saga/division.h"
#include "tests/support/check.h"

#include <string.h>

enum { SHARDS_MAX = 8, MEMBERS_MAX = 4 };

/* Shards as letters: whose they are (A, B, C; '.': nobody's), and what the member does: '+' takes, '-' gives up. */
/* clang-format off */
static const struct {
    const char *what;
    size_t members;
    char me;
    const char *owners, *moves;
} rows[] = {
    { "one alone takes all",                                        1, 'A', "....", "++++" },
    { "... and keeps all",                                          1, 'A', "AAAA", "    " },
    { "another comes: half of them are given up, the last ones",    2, 'A', "AAAA", "  --" },
    { "... and taken by nobody before that",                        2, 'B', "AAAA", "    " },
    { "... then by the other",                                      2, 'B', "AA..", "  ++" },
    { "... while the first one takes none back",                    2, 'A', "AA..", "    " },
    { "two that begin together want the same, each its share",      2, 'A', "....", "++  " },
    { "... and the database says which",                            2, 'B', "....", "++  " },
    { "a third one: who has most gives one up",                     3, 'A', "AABB", "    " },
    { "... by the ids, where they have as many",                    3, 'B', "AABB", "   -" },
    { "... the third takes it",                                     3, 'C', "AAB.", "   +" },
    { "... and that is even",                                       3, 'A', "AABC", "    " },
    { "one is dead: the others share what it had",                  2, 'A', "AA..BB", "  +   " },
    { "... one each",                                               2, 'B', "AA..BB", "  +   " },
    { "more members than shards: one has nothing",                  3, 'C', "AB", "  " },
    { "... and takes over from one that is dead",                   2, 'B', "A.", " +" },
};
/* clang-format on */

START_TEST(it_decides)
{
    struct uuid members[MEMBERS_MAX] = { 0 };
    int owners[SHARDS_MAX] = { 0 };
    enum division_move moves[SHARDS_MAX];
    size_t shards = strlen(rows[_i].owners);

    for (size_t i = 0; i < MEMBERS_MAX; i++)
        memset(&members[i], 'A' + (int)i, sizeof members[i]);
    for (size_t i = 0; i < shards; i++)
        owners[i] = rows[_i].owners[i] == '.' ? DIVISION_NOBODY : rows[_i].owners[i] - 'A';
    division_decide(members, rows[_i].members, owners, shards, (size_t)(rows[_i].me - 'A'), moves);
    for (size_t i = 0; i < shards; i++)
        ck_assert_msg(rows[_i].moves[i] == " +-"[moves[i]], "%s: shard %zu", rows[_i].what, i);
}
END_TEST

/* From any start, when each does what it decides one after the other. */
START_TEST(it_comes_to_rest)
{
    struct uuid members[MEMBERS_MAX] = { 0 };
    int owners[SHARDS_MAX] = { 0 };
    size_t count[MEMBERS_MAX] = { 0 };
    unsigned seed = (unsigned)_i;

    for (size_t i = 0; i < MEMBERS_MAX; i++)
        memset(&members[i], 'A' + (int)i, sizeof members[i]);
    for (size_t i = 0; i < SHARDS_MAX; i++, seed /= 5)
        owners[i] = (int)(seed % 5) - 1;
    for (int round = 0; round < 3 * MEMBERS_MAX; round++) {
        size_t me = (size_t)round % MEMBERS_MAX;
        enum division_move moves[SHARDS_MAX];

        division_decide(members, MEMBERS_MAX, owners, SHARDS_MAX, me, moves);
        for (size_t i = 0; i < SHARDS_MAX; i++)
            owners[i] = moves[i] == DIVISION_TAKE   ? (int)me
                        : moves[i] == DIVISION_GIVE ? DIVISION_NOBODY
                                                    : owners[i];
    }
    for (size_t i = 0; i < SHARDS_MAX; i++)
        count[owners[i]]++;
    for (size_t i = 0; i < MEMBERS_MAX; i++)
        ck_assert_uint_eq(count[i], SHARDS_MAX / MEMBERS_MAX);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("division");

    tcase_add_loop_test(cases, it_decides, 0, ROWS(rows));
    tcase_add_loop_test(cases, it_comes_to_rest, 0, 1000);
    return check_run("saga division", cases);
}
