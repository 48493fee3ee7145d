/* gzip: which client takes it, that it comes back as it was, and what is unpacked of a stranger's. */
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

enum { FORMAT_GZIP = 15 + 16, FORMAT_ZLIB = 15 };

static size_t
pack(const char *text, size_t bytes, int format, unsigned char packed[4096])
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)text,
                        .avail_in = (uInt)bytes,
                        .next_out = packed,
                        .avail_out = 4096 };

    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, format, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

/* bytes of text are packed; then add more bytes than were packed are given, or fewer. */
static const struct {
    const char *what;
    size_t bytes, bytes_max;
    int format, add;
    enum gzip_answer answer;
} packs[] = {
    { "nothing", 0, 100, FORMAT_GZIP, 0, GZIP_OK },
    { "nothing, and no more is allowed", 0, 0, FORMAT_GZIP, 0, GZIP_OK },
    { "a byte, and none is allowed", 1, 0, FORMAT_GZIP, 0, GZIP_IS_LONG },
    { "below the limit", 999, 1000, FORMAT_GZIP, 0, GZIP_OK },
    { "at the limit", 1000, 1000, FORMAT_GZIP, 0, GZIP_OK },
    { "one byte over it", 1001, 1000, FORMAT_GZIP, 0, GZIP_IS_LONG },
    { "a thousand times over it", 1 << 20, 1000, FORMAT_GZIP, 0, GZIP_IS_LONG },
    { "far below it", 1 << 20, 16 << 20, FORMAT_GZIP, 0, GZIP_OK },
    { "zlib's own format", 1000, 1000, FORMAT_ZLIB, 0, GZIP_OK },
    { "one byte over it in that", 1001, 1000, FORMAT_ZLIB, 0, GZIP_IS_LONG },
    { "no format at all", 1000, 1000, -15, 0, GZIP_IS_DAMAGED },
    { "a byte behind the end", 1000, 1000, FORMAT_GZIP, 1, GZIP_IS_DAMAGED },
    { "the last byte is missing", 1000, 1000, FORMAT_GZIP, -1, GZIP_IS_DAMAGED },
    { "half of it is missing", 1000, 1000, FORMAT_GZIP, -10, GZIP_IS_DAMAGED },
};

START_TEST(what_is_unpacked_has_a_limit)
{
    char *text = memory_take(1 << 20), *back = NULL;
    unsigned char packed[4097] = { 0 };
    size_t bytes, back_bytes = 0;
    enum gzip_answer answer;

    memset(text, 'a', 1 << 20);
    bytes = pack(text, packs[_i].bytes, packs[_i].format, packed) + (size_t)packs[_i].add;
    answer = gzip_unpack(packed, bytes, packs[_i].bytes_max, &back, &back_bytes);
    ck_assert_msg(answer == packs[_i].answer, "%s: %d", packs[_i].what, (int)answer);
    if (answer == GZIP_OK) {
        ck_assert_uint_eq(back_bytes, packs[_i].bytes);
        ck_assert_mem_eq(back, text, back_bytes);
    }
    free(back);
    free(text);
}
END_TEST

START_TEST(bytes_at_random_are_damaged)
{
    unsigned char noise[64];
    uint64_t seed = 1;

    for (int round = 0; round < 2000; round++) {
        char *back = NULL;
        size_t bytes;

        for (size_t i = 0; i < sizeof noise; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            noise[i] = (unsigned char)(seed >> 56);
        }
        if (round % 2 == 0)
            memcpy(noise, "\x1f\x8b\x08\0\0\0\0\0\0\x03", 10);
        ck_assert_int_ne(gzip_unpack(noise, sizeof noise, 1 << 20, &back, &bytes), GZIP_OK);
        ck_assert_ptr_null(back);
    }
}
END_TEST

int
main(void)
{
    TCase *tests = check_case("all");

    tcase_add_loop_test(tests, who_takes_it, 0, ROWS(headers));
    tcase_add_test(tests, it_comes_back_as_it_was);
    tcase_add_loop_test(tests, what_is_unpacked_has_a_limit, 0, ROWS(packs));
    tcase_add_test(tests, bytes_at_random_are_damaged);
    return check_run("gzip", tests);
}
