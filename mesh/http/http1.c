/* http1.c -- One request at a time: head, then body, each byte checked before llhttp sees it.
 *
 *     bytes -> line_scan -> head (kept whole, at most 16 KB) -> llhttp -> head_check -> HAS_HEAD
 *           -> body: counted (Content-Length), or line by line through llhttp (chunked) -> HAS_REQUEST
 *
 * The head is parsed when it is complete, so names and values are texts inside it, not copies.
 * Lines of chunked framing and trailers pass the same scan as the head: what ends a line must not be
 * a matter of taste there either.
 */
#include "mesh/http/http1.h"
#include "mesh/http/http1_inner.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CODING_RULE "chunked is the only Transfer-Encoding taken, and only once"

enum {
    BLANK_LINES_MAX = 2,   /* before a request: old clients end a body with one */
    METHOD_BYTES_MAX = 32, /* any method's name is shorter; then it is no HTTP */
    CHUNK_LINE_BYTES = 10, /* eight digits and CRLF; more is extensions */
    HEAD_BYTES_FIRST = 1024,
    BODY_BYTES_FIRST = 4096,
};

enum phase {
    PHASE_HEAD,
    PHASE_HEAD_DONE,
    PHASE_BODY,   /* Content-Length */
    PHASE_CHUNKS, /* Transfer-Encoding: chunked */
    PHASE_DONE,
    PHASE_REFUSED,
};

struct line {
    size_t bytes; /* before CR */
    bool has_cr, is_over;
};

struct http1 {
    llhttp_t parser;
    struct arena *arena;
    enum phase phase;
    int status; /* of the refusal */
    const char *because;

    struct line line;
    char *head;
    size_t head_bytes, head_size;
    size_t start;                             /* of the request line, behind blank lines */
    size_t request_line_bytes;                /* 0: not complete yet */
    size_t method_bytes, blanks, blank_lines; /* blanks: of the request line */
    size_t name_bytes[HTTP1_HEADERS_MAX], value_bytes[HTTP1_HEADERS_MAX];

    uint8_t *body;
    size_t body_size, body_bytes_max, body_bytes_default; /* max: of this request */
    uint64_t body_left; /* of Content-Length, or of the present chunk */
    size_t extension_bytes;
    bool is_last_chunk;

    struct http_request request;
};

static int
refuse(struct http1 *http1, int status, const char *because)
{
    if (http1->phase != PHASE_REFUSED) {
        http1->phase = PHASE_REFUSED;
        http1->status = status;
        http1->because = because;
    }
    return HPE_USER;
}

/* ---- bytes into lines ------------------------------------------------------------------------ */

/* One byte of a line. True at the end of the line; a broken rule refuses. */
static bool
line_scan(struct http1 *http1, unsigned char byte)
{
    struct line *line = &http1->line;

    if (line->is_over)
        *line = (struct line){ 0 };
    if (line->has_cr) {
        if (byte != '\n')
            refuse(http1, 400, "a CR stands without LF");
        line->is_over = byte == '\n';
        return line->is_over;
    }
    if (byte == '\r') {
        line->has_cr = true;
        return false;
    }
    if (byte == '\n')
        refuse(http1, 400, "an LF stands without CR");
    else if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
        refuse(http1, 400, "a control character in the head");
    else if (line->bytes == 0 && (byte == ' ' || byte == '\t'))
        refuse(http1, 400, "a line begins with white space");
    else if (line->bytes == 0 && byte == ':')
        refuse(http1, 400, "a header field without a name"); /* llhttp lets it pass */
    line->bytes++;
    return false;
}

/* The request line is watched as it grows: too long is known before it ends. */
static void
request_line_scan(struct http1 *http1, unsigned char byte)
{
    size_t bytes = http1->line.bytes;

    http1->blanks += byte == ' ';
    if (byte == ' ' && http1->method_bytes == 0)
        http1->method_bytes = bytes - 1;
    if (http1->method_bytes == 0 && bytes > METHOD_BYTES_MAX)
        refuse(http1, 400, "the request line does not begin with a method");
    else if (http1->method_bytes > 0 &&
             bytes > http1->method_bytes + HTTP1_TARGET_BYTES_MAX + HTTP1_VERSION_BYTES + 2)
        refuse(http1, 414, "the target is longer than 4096 bytes");
}

static void
head_line_end(struct http1 *http1, size_t end)
{
    if (http1->request_line_bytes > 0) {
        if (http1->line.bytes == 0)
            http1->phase = PHASE_HEAD_DONE;
    } else if (http1->line.bytes > 0) {
        http1->request_line_bytes = http1->line.bytes;
        if (http1->blanks <
            2) /* without a version no field follows, and no blank line may be waited for */
            refuse(http1, 400, HTTP1_LINE_RULE);
    } else if (++http1->blank_lines > BLANK_LINES_MAX) {
        refuse(http1, 400, "more than two blank lines before a request");
    } else {
        http1->start = end;
    }
}

static void
head_append(struct http1 *http1, const char *bytes, size_t count)
{
    size_t needed = http1->head_bytes + count;

    if (http1->head_size < needed) {
        size_t size = http1->head_size == 0 ? HEAD_BYTES_FIRST : http1->head_size;
        char *head;

        while (size < needed)
            size *= 2;
        head = arena_take(http1->arena, size + 1);
        if (http1->head_bytes > 0)
            memcpy(head, http1->head, http1->head_bytes);
        http1->head = head;
        http1->head_size = size;
    }
    memcpy(http1->head + http1->head_bytes, bytes, count);
    http1->head_bytes = needed;
}

static size_t
head_read(struct http1 *http1, const char *bytes, size_t count)
{
    size_t used = 0;

    while (used < count && http1->phase == PHASE_HEAD) {
        unsigned char byte = (unsigned char)bytes[used++];

        if (http1->head_bytes + used > HTTP1_HEAD_BYTES_MAX)
            refuse(http1, 431, "the head is larger than 16384 bytes");
        else if (line_scan(http1, byte))
            head_line_end(http1, http1->head_bytes + used);
        else if (http1->request_line_bytes == 0)
            request_line_scan(http1, byte);
    }
    if (http1->phase != PHASE_REFUSED)
        head_append(http1, bytes, used);
    return used;
}

/* ---- the head -------------------------------------------------------------------------------- */

static int
on_field(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http1 *http1 = parser->data;
    struct http_request *request = &http1->request;

    if (http1->phase != PHASE_HEAD_DONE)
        return 0; /* a trailer */
    if (request->header_count == HTTP1_HEADERS_MAX)
        return refuse(http1, 431, "more than 64 header fields");
    request->headers[request->header_count].name = at;
    request->headers[request->header_count].value = NULL;
    http1->name_bytes[request->header_count] = bytes;
    http1->value_bytes[request->header_count] = 0;
    request->header_count++;
    return 0;
}

static int
on_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http1 *http1 = parser->data;
    size_t last = http1->request.header_count - 1;
    struct http_header *header = &http1->request.headers[last];

    if (http1->phase != PHASE_HEAD_DONE)
        return 0;
    if (header->value != NULL && header->value + http1->value_bytes[last] != at)
        return refuse(http1, 400, "a header field in two pieces");
    if (header->value == NULL)
        header->value = at;
    http1->value_bytes[last] += bytes;
    return 0;
}

static int
on_head(llhttp_t *parser)
{
    parser->upgrade = 0; /* another protocol is the server's business, not the parser's */
    return HPE_PAUSED;
}

static int
on_chunk(llhttp_t *parser)
{
    struct http1 *http1 = parser->data;

    http1->body_left = parser->content_length;
    http1->is_last_chunk = http1->body_left == 0;
    if (http1->body_left > http1->body_bytes_max - http1->request.body_bytes)
        return refuse(http1, 413, "the body is larger than is taken here");
    return 0;
}

static int
on_end(llhttp_t *parser)
{
    struct http1 *http1 = parser->data;

    http1->phase = PHASE_DONE;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t bytes);

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* llhttp has passed: its spans become texts, names in lower case, values without outer blanks. */
static void
headers_finish(struct http1 *http1)
{
    for (size_t i = 0; i < http1->request.header_count; i++) {
        struct http_header *header = &http1->request.headers[i];
        char *name = http1->head + (header->name - http1->head);
        size_t bytes = http1->value_bytes[i];

        name[http1->name_bytes[i]] = '\0';
        for (size_t k = 0; k < http1->name_bytes[i]; k++) {
            if (name[k] >= 'A' && name[k] <= 'Z')
                name[k] = (char)(name[k] | 0x20);
        }
        if (header->value == NULL || bytes == 0) {
            header->value = "";
            continue;
        }
        while (bytes > 0 && strchr(" \t", header->value[bytes - 1]) != NULL)
            bytes--;
        http1->head[(header->value - http1->head) + (ptrdiff_t)bytes] = '\0';
    }
}

static void
host_check(struct http1 *http1)
{
    size_t count;
    const char *host = http1_header_only(&http1->request, "host", &count);

    if (count > 1)
        refuse(http1, 400, "two Host fields");
    else if (count == 0 && !http1->request.is_http10)
        refuse(http1, 400, "a Host field is needed");
    else if (host[strcspn(host, " \t,/\\@?#<>\"{}|^`")] != '\0')
        refuse(http1, 400, "the Host field is no host");
}

/* Whoever reads the length another way than a proxy before us reads another request. */
static void
length_check(struct http1 *http1)
{
    struct http_request *request = &http1->request;
    size_t codings, lengths;
    const char *coding = http1_header_only(request, "transfer-encoding", &codings);

    http1_header_only(request, "content-length", &lengths);
    http1->request.is_chunked = codings > 0;
    http1->body_left = codings == 0 && lengths > 0 ? http1->parser.content_length : 0;
    request->has_body = http1->request.is_chunked || http1->body_left > 0;
    if (lengths > 1)
        refuse(http1, 400, "two Content-Length fields");
    else if (codings > 0 && lengths > 0)
        refuse(http1, 400, "Content-Length beside Transfer-Encoding");
    else if (codings > 0 && request->is_http10)
        refuse(http1, 400, "HTTP/1.0 has no Transfer-Encoding");
    else if (codings > 1 || (codings == 1 && strcasecmp(coding, "chunked") != 0))
        refuse(http1, 501, CODING_RULE);
}

static void
expect_check(struct http1 *http1)
{
    struct http_request *request = &http1->request;
    size_t count;
    const char *expect = http1_header_only(request, "expect", &count);

    if (count == 0 || request->is_http10)
        return;
    if (count > 1 || strcasecmp(expect, "100-continue") != 0)
        refuse(http1, 417, "the only expectation met is 100-continue");
    request->wants_continue = request->has_body;
}

static void
head_check(struct http1 *http1)
{
    struct http_request *request = &http1->request;
    const char *because = http1_fields_join(request, http1->arena);
    size_t upgrades;

    if (because != NULL)
        refuse(http1, 400, because);
    host_check(http1);
    length_check(http1);
    expect_check(http1);
    http1_header_only(request, "upgrade", &upgrades);
    request->wants_upgrade = upgrades > 0 && http1_connection_has(request, "upgrade");
    request->keeps_alive = !http1_connection_has(request, "close") &&
                           (!request->is_http10 || http1_connection_has(request, "keep-alive"));
}

static void
head_parse(struct http1 *http1)
{
    char *target,
        *line = arena_copy(http1->arena, http1->head + http1->start, http1->request_line_bytes);
    const char *because;
    llhttp_errno_t error;
    int status = http1_line_split(line, http1->method_bytes, &http1->request, &target, &because);

    if (status == 200) {
        because = http1_target_split(target, &http1->request, http1->arena);
        status = because == NULL ? 200 : 400;
    }
    if (status != 200) {
        refuse(http1, status, because);
        return;
    }
    llhttp_init(&http1->parser, HTTP_REQUEST, (llhttp_settings_t *)&settings);
    http1->parser.data = http1;
    error = llhttp_execute(&http1->parser, http1->head + http1->start,
                           http1->head_bytes - http1->start);
    if (error == HPE_INVALID_TRANSFER_ENCODING) {
        refuse(http1, 501, CODING_RULE);
        return;
    }
    if (error != HPE_PAUSED) {
        refuse(http1, 400,
               error == HPE_OK ? "the head is not complete"
                               : llhttp_get_error_reason(&http1->parser));
        return;
    }
    headers_finish(http1);
    head_check(http1);
}

/* ---- the body -------------------------------------------------------------------------------- */

static void
body_append(struct http1 *http1, const char *bytes, size_t count)
{
    struct http_request *request = &http1->request;
    size_t needed = request->body_bytes + count + 1;

    if (http1->body_size < needed) { /* what is announced is not reserved before it comes */
        size_t size = http1->body_size == 0 ? BODY_BYTES_FIRST : http1->body_size;

        while (size < needed)
            size *= 2;
        http1->body = memory_grow(http1->body, size);
        http1->body_size = size;
    }
    memcpy(http1->body + request->body_bytes, bytes, count);
    request->body_bytes += count;
    http1->body[request->body_bytes] = '\0';
    request->body = http1->body;
}

static int
on_body(llhttp_t *parser, const char *at, size_t bytes)
{
    body_append(parser->data, at, bytes);
    return 0;
}

static size_t
body_read(struct http1 *http1, const char *bytes, size_t count)
{
    if (count > http1->body_left)
        count = (size_t)http1->body_left;
    body_append(http1, bytes, count);
    http1->body_left -= count;
    if (http1->body_left == 0)
        http1->phase = PHASE_DONE;
    return count;
}

static void
chunks_feed(struct http1 *http1, const char *bytes, size_t count)
{
    llhttp_errno_t error = llhttp_execute(&http1->parser, bytes, count);

    if (error != HPE_OK && http1->phase != PHASE_DONE)
        refuse(http1, 400, llhttp_get_error_reason(&http1->parser));
}

/* A line of framing: "1a;extension=value", the CRLF behind a chunk, a trailer. */
static size_t
chunk_line_read(struct http1 *http1, const char *bytes, size_t count)
{
    bool is_trailer = http1->is_last_chunk, is_over = false;
    size_t used = 0;

    while (used < count && !is_over && http1->phase == PHASE_CHUNKS) {
        is_over = line_scan(http1, (unsigned char)bytes[used++]);
        if (is_trailer || http1->line.bytes + 2 > CHUNK_LINE_BYTES)
            http1->extension_bytes++;
        if (http1->extension_bytes > HTTP1_CHUNK_EXTENSION_BYTES_MAX)
            refuse(http1, 400, "more than 4096 bytes of chunk extensions and trailers");
    }
    if (http1->phase == PHASE_CHUNKS)
        chunks_feed(http1, bytes, used);
    return used;
}

static size_t
chunks_read(struct http1 *http1, const char *bytes, size_t count)
{
    size_t used = 0;

    while (used < count && http1->phase == PHASE_CHUNKS) {
        size_t left = count - used;

        if (http1->body_left == 0) {
            used += chunk_line_read(http1, bytes + used, left);
            continue;
        }
        if (left > http1->body_left)
            left = (size_t)http1->body_left;
        http1->body_left -= left;
        chunks_feed(http1, bytes + used, left);
        used += left;
    }
    return used;
}

static void
body_start(struct http1 *http1)
{
    const char *rest = llhttp_get_error_pos(&http1->parser);

    if (!http1->request.is_chunked) {
        http1->phase = http1->body_left > 0 ? PHASE_BODY : PHASE_DONE;
        return;
    }
    http1->phase = PHASE_CHUNKS;
    llhttp_resume(&http1->parser);
    if (rest < http1->head + http1->head_bytes)
        chunks_feed(http1, rest, (size_t)(http1->head + http1->head_bytes - rest));
}

/* ---- the calls ------------------------------------------------------------------------------- */

struct http1 *
http1_new(struct arena *arena, size_t body_bytes_max)
{
    struct http1 *http1 = memory_take(sizeof *http1);

    http1->arena = arena;
    http1->body_bytes_default = body_bytes_max;
    return http1;
}

struct http1 *
http1_free(struct http1 *http1)
{
    if (http1 == NULL)
        return NULL;
    free(http1->body);
    free(http1);
    return NULL;
}

static enum http1_state
state_of(const struct http1 *http1)
{
    switch (http1->phase) {
    case PHASE_HEAD_DONE:
        return HTTP1_HAS_HEAD;
    case PHASE_DONE:
        return HTTP1_HAS_REQUEST;
    case PHASE_REFUSED:
        return HTTP1_REFUSED;
    case PHASE_HEAD:
    case PHASE_BODY:
    case PHASE_CHUNKS:
        break;
    }
    return HTTP1_NEEDS_MORE;
}

enum http1_state
http1_read(struct http1 *http1, const char *bytes, size_t count, size_t *ret_used)
{
    *ret_used = 0;
    if (http1->phase == PHASE_HEAD) {
        *ret_used = head_read(http1, bytes, count);
        if (http1->phase == PHASE_HEAD_DONE)
            head_parse(http1);
        if (http1->phase == PHASE_HEAD_DONE)
            http1_set_body_max(http1, http1->body_bytes_default);
        return state_of(http1);
    }
    if (http1->phase == PHASE_HEAD_DONE)
        body_start(http1);
    if (http1->phase == PHASE_BODY)
        *ret_used = body_read(http1, bytes, count);
    else if (http1->phase == PHASE_CHUNKS)
        *ret_used = chunks_read(http1, bytes, count);
    return state_of(http1);
}

const struct http_request *
http1_request(const struct http1 *http1)
{
    return &http1->request;
}

bool
http1_set_body_max(struct http1 *http1, size_t body_bytes_max)
{
    assert(http1->phase == PHASE_HEAD_DONE);
    http1->body_bytes_max = body_bytes_max;
    if (http1->body_left > body_bytes_max)
        refuse(http1, 413, "the body is larger than is taken here");
    return http1->phase != PHASE_REFUSED;
}

int
http1_status(const struct http1 *http1, const char **ret_because)
{
    assert(http1->phase == PHASE_REFUSED);
    *ret_because = http1->because;
    return http1->status;
}

void
http1_next(struct http1 *http1)
{
    struct arena *arena = http1->arena;
    size_t body_bytes_default = http1->body_bytes_default;

    free(http1->body);
    memset(http1, 0, sizeof *http1);
    http1->arena = arena;
    http1->body_bytes_default = body_bytes_default;
    arena_reset(arena);
}
