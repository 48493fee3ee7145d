/* fuzz_http1.c -- Any bytes, in any pieces: the parser ends in one answer, and always in the same.
 *
 *     cmake -S . -B build-fuzz -DMESH_FUZZ=ON -DCMAKE_C_COMPILER=clang && cmake --build build-fuzz --target fuzz_http1
 *     build-fuzz/fuzz_http1 -max_len=20000 -max_total_time=60
 *
 * The first byte of the input chooses the pieces. What is read whole and in pieces must be the same
 * requests and the same refusal: a difference is a request that a proxy sees and we do not.
 */
#include "mesh/base/hash.h"
#include "mesh/base/uuid.h"
#include "mesh/http/http1.h"

#include <assert.h>
#include <string.h>

enum { BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
request_hash(uint64_t hash, const struct http_request *request)
{
    assert(request->path[0] == '/' || strcmp(request->path, "*") == 0);
    assert(strpbrk(request->path, "\r\n") == NULL);
    assert(request->header_count <= HTTP1_HEADERS_MAX && request->body_bytes <= BODY_MAX);
    hash = hash_text(hash, request->method);
    hash = hash_text(hash, request->path);
    hash = hash_text(hash, request->query);
    for (size_t i = 0; i < request->header_count; i++) {
        assert(request->headers[i].name[0] != '\0');
        assert(strpbrk(request->headers[i].value, "\r\n") == NULL);
        hash = hash_text(hash_text(hash, request->headers[i].name), request->headers[i].value);
    }
    return hash_bytes(hash, request->body == NULL ? (const uint8_t *)"" : request->body,
                      request->body_bytes);
}

static uint64_t
read_all(const char *bytes, size_t count, size_t piece)
{
    struct arena *arena = arena_new();
    struct http1 *http1 = http1_new(arena, BODY_MAX);
    enum http1_state state = HTTP1_NEEDS_MORE;
    uint64_t hash = HASH_SEED;
    size_t done = 0;

    while (state != HTTP1_REFUSED && (done < count || state == HTTP1_HAS_HEAD)) {
        size_t left = count - done < piece ? count - done : piece, used;
        const char *because;

        state = http1_read(http1, bytes + done, left, &used);
        assert(used <= left);
        assert(used > 0 || state != HTTP1_NEEDS_MORE || left == 0); /* no standing still */
        done += used;
        if (state == HTTP1_REFUSED) {
            hash = hash_int(hash, http1_status(http1, &because));
        } else if (state == HTTP1_HAS_REQUEST) {
            hash = request_hash(hash, http1_request(http1));
            http1_next(http1);
        }
    }
    http1_free(http1);
    arena_free(arena);
    return hash_end(hash);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    assert(read_all((const char *)data + 1, size - 1, SIZE_MAX) ==
           read_all((const char *)data + 1, size - 1, (size_t)data[0] % 64 + 1));
    return 0;
}
