/* What all words of sagactl say in the same way: errors, ids, JSON. */
#include "sagactl/ctl.h"
#include "mesh/base/clock.h"
#include "mesh/base/terminal.h"
#include "mesh/base/uuid.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
ctl_print_json(struct json_writer *writer)
{
    puts(writer->text);
    json_writer_free(writer);
}

enum ctl_exit
ctl_fail(const struct ctl *ctl, enum ctl_exit status, const char *code, const char *next,
         const char *format, ...)
{
    char text[512];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (ctl->is_json) {
        struct json_writer alone = { 0 };
        struct json_writer *writer = ctl->open_list == NULL ? &alone : ctl->open_list;

        if (ctl->open_list == NULL)
            json_open_object(writer, NULL);
        else
            json_close_array(writer);
        json_open_object(writer, "error");
        json_put_text(writer, "code", code);
        json_put_text(writer, "message", text);
        if (next != NULL)
            json_put_text(writer, "next", next);
        json_close_object(writer);
        json_close_object(writer);
        ctl_print_json(writer);
        return status;
    }
    fflush(stdout);
    terminal_clean(text);
    fprintf(stderr, "sagactl: %s\n", text);
    if (next != NULL)
        fprintf(stderr, "         %s\n", next);
    return status;
}

const char *
ctl_request_id(const struct ctl *ctl)
{
    char text[UUID_TEXT_BYTES + 1];

    if (ctl->request_id[0] != '\0')
        return ctl->request_id;
    return arena_print(ctl->arena, "%s", uuid_print(uuid_v7(clock_now_us()), text));
}

const char *
ctl_id_argument(const struct ctl *ctl)
{
    const char *text = ctl->arguments[0];
    struct uuid id;

    if (uuid_parse(text, strlen(text), &id))
        return text;
    ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST",
             arena_print(ctl->arena, "sagactl %s shows the ids there are.", ctl->ids),
             "'%s' is not an id: 36 characters, lower case, like "
             "0193d5a0-6f5b-7c1e-8d57-3a1f0c2b4e99",
             text);
    return NULL;
}
