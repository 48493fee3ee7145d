/* Looking at sagas: list, show, definitions. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_filter.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_timeline.h"

#include <stdio.h>
#include <string.h>

enum { HASH_SHOWN = 12 };

#define SERVICE (&sagamesh__saga__v1__saga_service__descriptor)

/* ---- list ---- */

static void
list_print_head(void)
{
    printf("%-36s  %-12s %-5s %-20s %-20s %8s  %s\n", "saga", "phase", "is", "state", "definition",
           "age", "why");
}

static void
list_print_row(const Sagamesh__Saga__V1__Saga *saga, int64_t now_us, struct arena *arena)
{
    const char *why = "";

    if (saga->error_code[0] != '\0')
        why = arena_print(arena, "  %s: %s", ctl_clean_text(saga->error_code, arena),
                          ctl_clean_text(saga->error_message, arena));
    printf("%-36s  %-12s %-2s %-2s %-20s %-20s %8s%s\n", saga->saga_id, ctl_phase_text(saga->phase),
           saga->status, saga->compensation_status, ctl_clean_text(saga->state, arena),
           ctl_clean_text(saga->definition, arena),
           ctl_age_text(now_us - saga->started_at_us, arena), why);
}

/* Of a page whose rows are looked through, those beyond --limit are left out. */
static void
list_page(struct ctl_pages *pages, const Sagamesh__Saga__V1__ListResponse *page)
{
    const struct ctl *ctl = pages->ctl;
    int64_t now_us = clock_now_us();

    for (size_t i = 0; i < page->n_sagas; i++) {
        if (!ctl_filter_takes(ctl, page->sagas[i]))
            continue;
        pages->is_cut = ctl_pages_is_full(pages);
        if (pages->is_cut)
            return;
        if (pages->shown++ == 0 && !ctl->is_json)
            list_print_head();
        if (!ctl->is_json) {
            list_print_row(page->sagas[i], now_us, ctl->arena);
            continue;
        }
        json_open_object(&pages->json, NULL);
        ctl_saga_json(&pages->json, page->sagas[i]);
        json_close_object(&pages->json);
    }
}

static enum ctl_exit
list_from(struct ctl *ctl, struct ctl_client *client, Sagamesh__Saga__V1__SagaPhase phase)
{
    struct ctl_pages pages;

    ctl_pages_open(&pages, ctl, "sagas");
    while (ctl_pages_more(&pages)) {
        Sagamesh__Saga__V1__ListRequest request = SAGAMESH__SAGA__V1__LIST_REQUEST__INIT;
        const Sagamesh__Saga__V1__ListResponse *page;

        request.phase = phase;
        request.page_size = ctl_filter_is_set(ctl) ? CTL_PAGE : ctl_pages_size(&pages);
        request.page_token = pages.token;
        page = (const Sagamesh__Saga__V1__ListResponse *)ctl_client_ask(client, SERVICE, "List",
                                                                        &request.base);
        if (page == NULL)
            return ctl_pages_fail(&pages, ctl_client_exit(client));
        list_page(&pages, page);
        ctl_pages_next(&pages, page->next_page_token);
    }
    return ctl_pages_end(&pages, ctl->phase[0] == '\0' ? "there are none that have not ended"
                                                       : "there are none in this phase");
}

enum ctl_exit
ctl_list(struct ctl *ctl)
{
    Sagamesh__Saga__V1__SagaPhase phase = 0; /* unspecified: all that have not ended */
    struct ctl_client *client;
    enum ctl_exit status;

    if (ctl->phase[0] != '\0' && !ctl_phase_find(ctl->phase, &phase))
        return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST",
                        "--phase is stuck, waiting, running, retrying, compensating or ended.",
                        "there is no phase '%s'", ctl->phase);
    client = ctl_client_open(ctl, "saga", ctl->saga);
    if (client == NULL)
        return CTL_USAGE;
    status = list_from(ctl, client, phase);
    ctl_client_close(client);
    return status;
}

/* ---- show ---- */

static void
show_line(const char *what, const char *text)
{
    printf("%-11s %s\n", what, text);
}

static void
show_print(const Sagamesh__Saga__V1__GetResponse *got, struct arena *arena)
{
    const Sagamesh__Saga__V1__Saga *saga = got->saga;
    int64_t now_us = clock_now_us();

    show_line("saga", saga->saga_id);
    show_line("definition", arena_print(arena, "%s (%.*s)", ctl_clean_text(saga->definition, arena),
                                        HASH_SHOWN, ctl_clean_text(saga->definition_hash, arena)));
    show_line("phase", arena_print(arena, "%s%s", ctl_phase_text(saga->phase),
                                   saga->cancel_requested ? ", cancel requested" : ""));
    show_line("status", arena_print(arena, "%s, compensation %s", saga->status,
                                    ctl_clean_text(saga->compensation_status, arena)));
    show_line("state", ctl_clean_text(saga->state, arena));
    if (saga->error_code[0] != '\0')
        show_line("error", arena_print(arena, "%s: %s", ctl_clean_text(saga->error_code, arena),
                                       ctl_clean_text(saga->error_message, arena)));
    show_line("started", arena_print(arena, "%s, %s ago", ctl_time_text(saga->started_at_us, arena),
                                     ctl_age_text(now_us - saga->started_at_us, arena)));
    show_line("changed", arena_print(arena, "%s, %s ago", ctl_time_text(saga->changed_at_us, arena),
                                     ctl_age_text(now_us - saga->changed_at_us, arena)));
    if (saga->next_attempt_us > 0)
        show_line("next try", ctl_time_text(saga->next_attempt_us, arena));
    show_line("context", ctl_clean_text(saga->context_json, arena));
    ctl_timeline_print(got, arena);
    if (saga->phase == SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_STUCK)
        printf("it waits for a person: sagactl retry %s, compensate %s, or settle %s\n",
               saga->saga_id, saga->saga_id, saga->saga_id);
}

enum ctl_exit
ctl_show(struct ctl *ctl)
{
    Sagamesh__Saga__V1__GetRequest request = SAGAMESH__SAGA__V1__GET_REQUEST__INIT;
    const Sagamesh__Saga__V1__GetResponse *got;
    const char *id = ctl_id_argument(ctl);
    struct ctl_client *client = id == NULL ? NULL : ctl_client_open(ctl, "saga", ctl->saga);
    struct json_writer writer = { 0 };
    enum ctl_exit status = CTL_DONE;

    if (client == NULL)
        return CTL_USAGE;
    request.saga_id = (char *)(uintptr_t)id;
    got = (const Sagamesh__Saga__V1__GetResponse *)ctl_client_ask(client, SERVICE, "Get",
                                                                  &request.base);
    if (got == NULL || got->saga == NULL) {
        status = got != NULL ? CTL_REFUSED : ctl_client_exit(client);
    } else if (ctl->is_json) {
        json_open_object(&writer, NULL);
        ctl_saga_json(&writer, got->saga);
        ctl_steps_json(&writer, got);
        json_close_object(&writer);
        ctl_print_json(&writer);
    } else {
        show_print(got, ctl->arena);
    }
    ctl_client_close(client);
    return status;
}

/* ---- definitions ---- */

static void
definitions_print(const Sagamesh__Saga__V1__ListDefinitionsResponse *got, struct arena *arena)
{
    printf("%-24s %-7s %s\n", "definition", "", "hash");
    for (size_t i = 0; i < got->n_definitions; i++)
        printf("%-24s %-7s %s\n", ctl_clean_text(got->definitions[i]->name, arena),
               got->definitions[i]->is_newest ? "newest" : "", got->definitions[i]->hash);
}

static void
definitions_json(const Sagamesh__Saga__V1__ListDefinitionsResponse *got)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    json_open_array(&writer, "definitions");
    for (size_t i = 0; i < got->n_definitions; i++) {
        json_open_object(&writer, NULL);
        json_put_text(&writer, "name", got->definitions[i]->name);
        json_put_text(&writer, "hash", got->definitions[i]->hash);
        json_put_bool(&writer, "is_newest", got->definitions[i]->is_newest);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

enum ctl_exit
ctl_definitions(struct ctl *ctl)
{
    Sagamesh__Saga__V1__ListDefinitionsRequest request =
        SAGAMESH__SAGA__V1__LIST_DEFINITIONS_REQUEST__INIT;
    const Sagamesh__Saga__V1__ListDefinitionsResponse *got;
    struct ctl_client *client = ctl_client_open(ctl, "saga", ctl->saga);
    enum ctl_exit status = CTL_DONE;

    if (client == NULL)
        return CTL_USAGE;
    got = (const Sagamesh__Saga__V1__ListDefinitionsResponse *)ctl_client_ask(
        client, SERVICE, "ListDefinitions", &request.base);
    if (got == NULL)
        status = ctl_client_exit(client);
    else if (ctl->is_json)
        definitions_json(got);
    else
        definitions_print(got, ctl->arena);
    ctl_client_close(client);
    return status;
}
