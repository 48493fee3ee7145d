#include "sagactl/ctl_pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
set_token(struct ctl_pages *pages, const char *token)
{
    size_t bytes = strlen(token) + 1;
    char *copy = memory_take(bytes);

    memcpy(copy, token, bytes);
    free(pages->token);
    pages->token = copy;
}

void
ctl_pages_open(struct ctl_pages *pages, struct ctl *ctl, const char *name)
{
    *pages = (struct ctl_pages){ .ctl = ctl, .arena = ctl->arena };
    ctl->arena = arena_new();
    set_token(pages, ctl->page);
    if (ctl->is_json) {
        ctl->open_list = &pages->json;
        json_open_object(&pages->json, NULL);
        json_open_array(&pages->json, name);
    }
}

bool
ctl_pages_is_full(const struct ctl_pages *pages)
{
    return !pages->ctl->is_all && pages->shown >= pages->ctl->limit;
}

bool
ctl_pages_more(const struct ctl_pages *pages)
{
    return !pages->is_begun || (pages->token[0] != '\0' && !ctl_pages_is_full(pages));
}

int32_t
ctl_pages_size(const struct ctl_pages *pages)
{
    int64_t left = pages->ctl->limit - pages->shown;

    return pages->ctl->is_all || left > CTL_PAGE ? CTL_PAGE : (int32_t)left;
}

void
ctl_pages_flush(struct json_writer *writer)
{
    bool needs_comma = writer->needs_comma;

    if (writer->bytes > 0)
        fwrite(writer->text, 1, writer->bytes, stdout);
    json_writer_reset(writer);
    writer->needs_comma = needs_comma;
}

void
ctl_pages_next(struct ctl_pages *pages, const char *token)
{
    pages->is_begun = true;
    set_token(pages, token);
    ctl_pages_flush(&pages->json);
    arena_reset(pages->ctl->arena);
}

static void
give_back(struct ctl_pages *pages)
{
    pages->ctl->open_list = NULL;
    arena_free(pages->ctl->arena);
    pages->ctl->arena = pages->arena;
    json_writer_free(&pages->json);
    free(pages->token);
}

enum ctl_exit
ctl_pages_end(struct ctl_pages *pages, const char *none)
{
    bool has_more = pages->token[0] != '\0' || pages->is_cut;
    bool has_token = has_more && !pages->is_cut;

    if (pages->ctl->is_json) {
        json_close_array(&pages->json);
        json_put_bool(&pages->json, "has_more", has_more);
        if (has_token)
            json_put_text(&pages->json, "next_page", pages->token);
        json_close_object(&pages->json);
        ctl_pages_flush(&pages->json);
        putchar('\n');
    } else if (has_token) {
        printf("there are more: --all, or from here on: --page=%s\n", pages->token);
    } else if (has_more) {
        printf("there are more: --all, or --limit=%lld\n", (long long)pages->ctl->limit * 10);
    } else if (pages->shown == 0) {
        puts(none);
    }
    give_back(pages);
    return CTL_DONE;
}

enum ctl_exit
ctl_pages_fail(struct ctl_pages *pages, enum ctl_exit status)
{
    give_back(pages);
    return status;
}
