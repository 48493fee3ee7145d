#include "tests/support/engine/equal.h"

#include <string.h>

bool
instance_equal(const struct instance *a, const struct instance *b)
{
    struct json_writer left = { 0 }, right = { 0 };
    bool is_equal;

    instance_write(a, &left);
    instance_write(b, &right);
    is_equal = left.bytes == right.bytes && memcmp(left.text, right.text, left.bytes) == 0;
    json_writer_free(&left);
    json_writer_free(&right);
    return is_equal;
}
