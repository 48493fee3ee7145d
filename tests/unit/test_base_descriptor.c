/* How many descriptors are kept from strangers, and how ports share the others. */
#include "mesh/base/descriptor.h"
#include "tests/support/check.h"

#include <stdlib.h>

/* clang-format off */
static const struct {
    const char *what;
    size_t limit, ports, reserve, share;
} limits[] = {
    { "none at all",               0, 2,   16,    1 },
    { "fewer than are kept",      40, 2,   16,    1 },
    { "few",                      64, 2,   16,    8 },
    { "few, and one port",        64, 1,   16,   16 },
    { "the usual",              1024, 2,  256,  368 },
    { "a usual hard limit",     4096, 2, 1024, 1520 },
    { "many",                  20000, 2, 1024, 9472 },
};
/* clang-format on */

START_TEST(what_is_kept_and_shared)
{
    ck_assert_msg(descriptors_reserve(limits[_i].limit) == limits[_i].reserve, "%s: %zu",
                  limits[_i].what, descriptors_reserve(limits[_i].limit));
    ck_assert_msg(descriptors_share(limits[_i].limit, limits[_i].ports) == limits[_i].share,
                  "%s: %zu", limits[_i].what,
                  descriptors_share(limits[_i].limit, limits[_i].ports));
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("base_descriptor");

    tcase_add_loop_test(cases, what_is_kept_and_shared, 0, ROWS(limits));
    return check_run("base_descriptor", cases);
}
