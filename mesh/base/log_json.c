/* First the words are printed as the text format prints them, with a mark on both sides of each %s. The
 * marks are taken out again, and leave behind of which argument each byte came: that is its origin, 0 for
 * the format's own bytes. A mark has random bytes in it, so no argument can hold one.
 *
 * A value ends at a space or a quote of the origin that its equals sign has. So the format's "quotes" are
 * closed by the format alone; and what a caller put together beforehand, a whole "key=value key=value" as
 * one argument, is read by the same rule.
 */
#include "mesh/base/log_json.h"

#include "mesh/base/random.h"
#include "mesh/base/terminal.h"
#include "mesh/base/text.h"
#include "mesh/base/time.h"
#include "mesh/base/utf8.h"
#include "mesh/base/uuid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_BYTES_MAX = 2048,
    MARK_BYTES = 12,
    MARKS_MAX = 64,
    FORMAT_BYTES_MAX = TEXT_BYTES_MAX + MARKS_MAX * MARK_BYTES,
    NAMES_MAX = 48,
    NAME_BYTES_MAX = 40,
    DIGITS_MAX = 18,         /* of a number: what readers hold in 64 bits */
    MESSAGE_BYTES_MIN = 128, /* of the line, kept from the members */
    END_BYTES = 16,          /* ,"cut":true}\n and a little */
};

static char mark[MARK_BYTES + 1];

/* The words of a line, and of each byte its origin. */
struct words {
    char text[TEXT_BYTES_MAX];
    unsigned char origin[TEXT_BYTES_MAX];
    size_t bytes;
};

struct span {
    size_t from, to;
};

struct writer {
    char *line;
    size_t bytes, max; /* so far; a put that would pass max is left out or cut */
    bool is_cut;
    char names[NAMES_MAX][NAME_BYTES_MAX];
    size_t name_count;
};

/* clang-format off */
static const struct { const char *text, *name; int number; } severities[] = { /* OpenTelemetry's numbers */
    [LOG_DEBUG] = { "debug", "DEBUG", 5 },  [LOG_INFO] =  { "info",  "INFO",  9 },
    [LOG_WARN]  = { "warn",  "WARN",  13 }, [LOG_ERROR] = { "error", "ERROR", 17 },
};

/* The names that collectors know. Some words are ids, and at other places say what is done: saga=asked. */
static const struct { const char *key, *name; bool is_id; } names[] = {
    { "order",    "order_id",   true },
    { "payment",  "payment_id", true },
    { "saga",     "saga_id",    true },
    { "event",    "event.name", false },
    { "method",   "rpc.method", false },
    { "service",  "peer.service", false }, /* "service" cannot stand beside service.name where dots make objects */
    { "reason",   "error.type", false },
    { "error",    "error.type", false },
    { "because",  "error.message", false },
    { "sqlstate", "db.response.status_code", false },
    { "ms",       "duration_ms", false },
};
/* clang-format on */

void
log_json_open(void)
{
    unsigned char bytes[(MARK_BYTES - 2) / 2];

    random_bytes(bytes, sizeof bytes);
    mark[0] = mark[MARK_BYTES - 1] = '\x01';
    text_print_hex(bytes, sizeof bytes, mark + 1);
}

/* ---- the words ---- */

/* Of a conversion: how many bytes it has, from its % to its letter. */
static size_t
conversion_bytes(const char *format)
{
    size_t bytes = 1 + strspn(format + 1, "-+ #0123456789.*hljzt");

    return format[bytes] == '\0' ? bytes : bytes + 1;
}

/* The format with a mark on both sides of each argument that is text. */
static void
format_mark(const char *format, char *marked, size_t size)
{
    size_t used = 0;

    while (*format != '\0') {
        size_t bytes = *format == '%' ? conversion_bytes(format) : strcspn(format, "%");
        bool is_text = *format == '%' && strchr("sc", format[bytes - 1]) != NULL;
        const char *side = is_text ? mark : "";
        int put = snprintf(marked + used, size - used, "%s%.*s%s", side, (int)bytes, format, side);

        assert(put > 0 && (size_t)put < size - used);
        used += (size_t)put;
        format += bytes;
    }
    marked[used] = '\0';
}

/* Takes the marks out. The arguments count from 1; those past 255 are one. */
static void
words_read(struct words *words, const char *marked, size_t bytes_max)
{
    unsigned char argument = 0;
    bool is_inside = false;

    words->bytes = 0;
    while (*marked != '\0' && words->bytes < bytes_max) {
        if (*marked == mark[0] && strncmp(marked, mark, MARK_BYTES) == 0) {
            is_inside = !is_inside;
            if (is_inside && argument < UINT8_MAX)
                argument++;
            marked += MARK_BYTES;
            continue;
        }
        words->origin[words->bytes] = is_inside ? argument : 0;
        words->text[words->bytes++] = *marked++;
    }
    words->text[words->bytes] = '\0';
    terminal_clean(words->text);
}

static void __attribute__((format(printf, 3, 0)))
words_print(struct words *words, size_t bytes_max, const char *format, va_list arguments)
{
    char marked_format[FORMAT_BYTES_MAX], marked[FORMAT_BYTES_MAX];

    assert(bytes_max < TEXT_BYTES_MAX && mark[0] != '\0');
    format_mark(format, marked_format, sizeof marked_format);
    marked[0] = '\0';
    vsnprintf(marked, sizeof marked, marked_format, arguments);
    words_read(words, marked, bytes_max);
}

/* ---- reading them ---- */

static bool
is_space(const struct words *words, size_t at, unsigned char origin)
{
    return words->text[at] == ' ' && words->origin[at] == origin;
}

/* Where no value goes on: at the end, at a space of the origin, at an argument that begins with a space
 * of its own, as " because=..." does behind "serving=%s%s". */
static bool
is_end(const struct words *words, size_t at, unsigned char origin)
{
    return at >= words->bytes || is_space(words, at, origin) ||
           (words->text[at] == ' ' && at > 0 && words->origin[at] != 0 &&
            words->origin[at] != words->origin[at - 1]);
}

/* Of the member that begins at from: its name, up to the equals sign. False: it is a bare word. */
static bool
name_read(const struct words *words, size_t from, struct span *ret_name)
{
    size_t to = from;

    while (to < words->bytes && words->origin[to] == words->origin[from] &&
           strchr(TEXT_LETTERS_AND_DIGITS "_.", words->text[to]) != NULL)
        to++;
    if (to == from || to - from >= NAME_BYTES_MAX - 5 || to >= words->bytes ||
        words->text[to] != '=' ||
        (words->origin[to] != words->origin[from] && words->origin[to] != 0))
        return false;
    *ret_name = (struct span){ from, to };
    return true;
}

/* Whether the quote before at closes a value. In words that were put together beforehand a quote may be
 * a stranger's: there a member must follow, or nothing. */
static bool
is_closed(const struct words *words, size_t at, unsigned char origin)
{
    struct span next;

    return is_end(words, at, origin) &&
           (origin == 0 || at >= words->bytes || name_read(words, at + 1, &next));
}

/* The value behind the equals sign at equals, without its quotes; returns where the member ends. */
static size_t
value_read(const struct words *words, size_t equals, struct span *ret_value, bool *ret_is_quoted)
{
    unsigned char origin = words->origin[equals];
    size_t from = equals + 1, at;
    char quote = words->text[from];

    *ret_is_quoted =
        from < words->bytes && strchr("\"'", quote) != NULL && words->origin[from] == origin;
    for (at = from + *ret_is_quoted; at < words->bytes; at++) {
        if (!*ret_is_quoted && is_end(words, at, origin))
            break;
        if (*ret_is_quoted && words->text[at] == quote && words->origin[at] == origin &&
            is_closed(words, at + 1, origin))
            break;
    }
    *ret_value = (struct span){ from + *ret_is_quoted, at };
    return at + (*ret_is_quoted && at < words->bytes);
}

/* JSON's form of a number, no longer than readers take exactly, and no byte of another origin: an id
 * that happens to be all digits stays a text. */
static bool
is_number(const struct words *words, struct span value, unsigned char origin)
{
    const char *text = words->text + value.from;
    size_t bytes = value.to - value.from, sign = bytes > 0 && text[0] == '-';
    size_t whole = strspn(text + sign, TEXT_DIGITS), point = 0;

    if (bytes == 0 || bytes > DIGITS_MAX || whole == 0 || (whole > 1 && text[sign] == '0'))
        return false;
    if (sign + whole < bytes && text[sign + whole] == '.') {
        point = 1 + strspn(text + sign + whole + 1, TEXT_DIGITS);
        if (point == 1)
            return false;
    }
    for (size_t at = value.from; at < value.to; at++) {
        if (words->origin[at] != origin)
            return false;
    }
    return sign + whole + point == bytes;
}

/* ---- writing the object ---- */

static bool
put(struct writer *writer, const char *text, size_t bytes)
{
    if (writer->bytes + bytes > writer->max) {
        writer->is_cut = true;
        return false;
    }
    memcpy(writer->line + writer->bytes, text, bytes);
    writer->bytes += bytes;
    return true;
}

/* As much of the text as there is room for, with its quotes. What is no UTF-8 is '?'. */
static void
put_quoted(struct writer *writer, const char *text, size_t bytes)
{
    put(writer, "\"", 1);
    writer->max--; /* for the quote at its end */
    for (size_t at = 0; at < bytes;) {
        size_t count = utf8_bytes(text + at, bytes - at);
        char escaped[2] = { '\\', text[at] };
        bool is_put;

        if (count == 0)
            is_put = put(writer, "?", 1);
        else if (text[at] == '"' || text[at] == '\\')
            is_put = put(writer, escaped, 2);
        else
            is_put = put(writer, text + at, count);
        if (!is_put)
            break;
        at += count == 0 ? 1 : count;
    }
    writer->max++;
    put(writer, "\"", 1);
}

static bool
is_named(const struct writer *writer, const char *name)
{
    for (size_t i = 0; i < writer->name_count; i++) {
        if (strcmp(writer->names[i], name) == 0)
            return true;
    }
    return false;
}

/* The name that stands in the object for key: a known one, and one that is not there yet. */
static void
name_choose(const struct writer *writer, const struct words *words, struct span key,
            struct span value, char *ret_name)
{
    char wanted[NAME_BYTES_MAX];

    snprintf(wanted, sizeof wanted, "%.*s", (int)(key.to - key.from), words->text + key.from);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].key, wanted) == 0 &&
            (!names[i].is_id || value.to - value.from == UUID_TEXT_BYTES))
            snprintf(wanted, sizeof wanted, "%s", names[i].name);
    }
    snprintf(ret_name, NAME_BYTES_MAX, "%s", wanted);
    for (unsigned char i = 2; is_named(writer, ret_name); i++)
        snprintf(ret_name, NAME_BYTES_MAX, "%.*s_%d", NAME_BYTES_MAX - 5, wanted, i);
}

/* ,"name": -- false: there is no room for it and the least of values. */
static bool
put_name(struct writer *writer, const char *name)
{
    char text[NAME_BYTES_MAX + 4];
    int bytes = snprintf(text, sizeof text, "%s\"%s\":", writer->bytes > 1 ? "," : "", name);
    enum { LEAST_VALUE = 2 + DIGITS_MAX };

    if (writer->name_count == NAMES_MAX ||
        writer->bytes + (size_t)bytes + LEAST_VALUE > writer->max) {
        writer->is_cut = true;
        return false;
    }
    snprintf(writer->names[writer->name_count++], NAME_BYTES_MAX, "%s", name);
    return put(writer, text, (size_t)bytes);
}

static void
put_text(struct writer *writer, const char *name, const char *text)
{
    if (text[0] != '\0' && put_name(writer, name))
        put_quoted(writer, text, strlen(text));
}

static void
put_number(struct writer *writer, const char *name, uint64_t number)
{
    char text[32];
    int bytes = snprintf(text, sizeof text, "%" PRIu64, number);

    if (put_name(writer, name))
        put(writer, text, (size_t)bytes);
}

static void
put_head(struct writer *writer, const struct log_head *head)
{
    char time[TIME_TEXT_BYTES + 1];

    put(writer, "{", 1);
    put_text(writer, "timestamp", time_print(head->time_us, time));
    put_text(writer, "severity", severities[head->level].name);
    put_number(writer, "severity_number", (uint64_t)severities[head->level].number);
    put_text(writer, "service.name", head->program);
    put_text(writer, "service.version", head->version);
    put_text(writer, "trace_id", head->trace_id);
    put_text(writer, "span_id", head->span_id);
    put_text(writer, "trace_flags", head->trace_flags);
    if (head->left_out > 0)
        put_number(writer, "left_out", head->left_out);
}

/* Returns where the member ends. */
static size_t
put_member(struct writer *writer, const struct words *words, struct span key)
{
    struct span value;
    bool is_quoted;
    size_t end = value_read(words, key.to, &value, &is_quoted);
    const char *text = words->text + value.from;
    char name[NAME_BYTES_MAX];

    name_choose(writer, words, key, value, name);
    if (!put_name(writer, name))
        return end;
    if (!is_quoted && is_number(words, value, words->origin[key.to]))
        put(writer, text, value.to - value.from);
    else
        put_quoted(writer, text, value.to - value.from);
    return end;
}

static void
put_members(struct writer *writer, const struct words *words)
{
    for (size_t at = 0; at < words->bytes;) {
        struct span key;

        if (words->text[at] == ' ')
            at++;
        else if (name_read(words, at, &key))
            at = put_member(writer, words, key);
        else
            for (unsigned char origin = words->origin[at]; !is_end(words, at, origin);)
                at++;
    }
}

size_t
log_json_print(char line[LOG_JSON_BYTES_MAX], const struct log_head *head, size_t text_bytes_max,
               const char *format, va_list arguments)
{
    struct writer writer = { .line = line };
    struct words words;

    words_print(&words, text_bytes_max, format, arguments);
    writer.max = LOG_JSON_BYTES_MAX - END_BYTES - MESSAGE_BYTES_MIN;
    snprintf(writer.names[writer.name_count++], NAME_BYTES_MAX, "message");
    snprintf(writer.names[writer.name_count++], NAME_BYTES_MAX, "cut");
    put_head(&writer, head);
    put_members(&writer, &words);
    writer.max = LOG_JSON_BYTES_MAX - END_BYTES;
    put(&writer, ",\"message\":", strlen(",\"message\":"));
    put_quoted(&writer, words.text, words.bytes);
    writer.max = LOG_JSON_BYTES_MAX;
    if (writer.is_cut)
        put(&writer, ",\"cut\":true", strlen(",\"cut\":true"));
    put(&writer, "}\n", 2);
    return writer.bytes;
}
