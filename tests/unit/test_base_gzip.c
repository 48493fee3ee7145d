/* gzip: who takes it, and that it comes back as it was. */
#include "mesh/base/arena.h"
#include "mesh/base/gzip.h"
#include "tests/support/check.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* clang-format off */
static const struct {
    const char *header;
    bool is_accepted;
} headers[] = {
    { "gzip", true },                  { "x-gzip", true },           { "GZip", true },
    { "gzip, deflate, br", true },     { "br,gzip", true },          { "*", true },
    { "br;q=1, gzip;q=0.1", true },    { "gzip;q=0.001", true },     { "gzip ; q=1", true },
    { "gzip;x=0", true },              { "br, *;q=0.5", true },      { ", ,gzip", true },
    { "", false },                     { "identity", false },        { "br", false },
    { "gzip;q=0", false },             { "gzip; q=0.000", false },   { "gzip;Q=0.", false },
    { "*;q=0", false },                { "gzip;q=0, *", false },     { "*, gzip;q=0", false },
    { "gzipped", false },              { "xgzip", false },           { ",;,", false },
};
/* clang-format on */

START_TEST(who_takes_it)
{
    ck_assert_msg(gzip_is_accepted(headers[_i].header) == headers[_i].is_accepted, "%s",
                  headers[_i].header);
}
END_TEST

START_TEST(it_comes_back_as_it_was)
{
    enum { BYTES = 1 << 20 };
    char *text = memory_take(BYTES), *back = memory_take(BYTES), *packed;
    size_t bytes;
    uint64_t noise = 1;
    z_stream stream = { 0 };

    for (size_t i = 0; i < BYTES; i++)
        text[i] = "{\"orderNo\":0123456789}"[(i * i / 7) % 22];
    packed = gzip_pack(text, BYTES, &bytes);
    ck_assert_ptr_nonnull(packed);
    ck_assert_uint_lt(bytes, BYTES / 2);
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (Bytef *)packed;
    stream.avail_in = (uInt)bytes;
    stream.next_out = (Bytef *)back;
    stream.avail_out = BYTES;
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.total_out, BYTES);
    inflateEnd(&stream);
    ck_assert_mem_eq(back, text, BYTES);
    free(packed);
    free(back);
    for (size_t i = 0; i < BYTES; i++) {
        noise = noise * UINT64_C(6364136223846793005) + 1442695040888963407;
        text[i] = (char)(noise >> 56);
    }
    ck_assert_ptr_null(gzip_pack(text, BYTES, &bytes)); /* it would grow */
    free(text);
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, who_takes_it, 0, ROWS(headers));
    tcase_add_test(tests, it_comes_back_as_it_was);
    return check_run("http gzip", tests);
}
