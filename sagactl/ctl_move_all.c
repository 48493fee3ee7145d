#include "sagactl/ctl_move_all.h"
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_filter.h"
#include "sagactl/ctl_pace.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RATE_USUAL = 100, /* a second */
    ATTEMPTS = 5,     /* of a call: an orchestrator that restarts must not end the word */
    REFUSALS_SHOWN = 20,
};

#define SERVICE (&sagamesh__saga__v1__saga_service__descriptor)
#define CONTROL (&sagamesh__saga__v1__saga_control_service__descriptor)
#define PROGRESS_US SECOND_US

/* What has come of the sagas so far. */
struct tally {
    int64_t moved, gone, refused;
    int64_t next_call_us, next_progress_us; /* by clock_steady_us() */
    struct json_writer refusals;            /* with --json, an array that is open */
};

static void
keep_pace(const struct ctl *ctl, struct tally *tally)
{
    int64_t now_us;

    tally->next_call_us = ctl_pace(tally->next_call_us, ctl->rate > 0 ? ctl->rate : RATE_USUAL);
    now_us = clock_steady_us();
    if (!ctl->is_json && now_us >= tally->next_progress_us) {
        if (tally->next_progress_us != 0)
            fprintf(stderr, "sagactl: %lld so far, %lld refused, %lld had moved on\n",
                    (long long)tally->moved, (long long)tally->refused, (long long)tally->gone);
        tally->next_progress_us = now_us + PROGRESS_US;
    }
}

static void
show_refusal(const struct ctl *ctl, struct tally *tally, const char *saga_id,
             const struct rpc_result *result)
{
    if (++tally->refused > REFUSALS_SHOWN)
        return;
    if (!ctl->is_json) {
        fflush(stdout);
        fprintf(stderr, "sagactl: %s: %s (%s)\n", saga_id,
                ctl_clean_text(result->message, ctl->arena),
                ctl_clean_text(result->reason, ctl->arena));
        return;
    }
    json_open_object(&tally->refusals, NULL);
    json_put_text(&tally->refusals, "saga_id", saga_id);
    json_put_text(&tally->refusals, "code", result->reason);
    json_put_text(&tally->refusals, "message", result->message);
    json_close_object(&tally->refusals);
}

/* False: saga-svc does not answer, which was said. */
static bool
move_one(struct ctl *ctl, struct ctl_client *client, ctl_move_request *request, const char *saga_id,
         struct tally *tally)
{
    const char *method;
    const ProtobufCMessage *message = request(ctl, saga_id, ctl_request_id(ctl), &method);
    struct rpc_result result;

    keep_pace(ctl, tally);
    if (ctl_client_try(client, CONTROL, method, message, &result) != NULL) {
        tally->moved++;
        return true;
    }
    if (ctl_client_exit(client) == CTL_UNREACHABLE) {
        ctl_client_say(client, method, &result);
        return false;
    }
    if (strcmp(result.reason, "NOT_STUCK") == 0 || result.code == WIRE_NOT_FOUND)
        tally->gone++;
    else
        show_refusal(ctl, tally, saga_id, &result);
    return true;
}

static bool
move_page(struct ctl *ctl, struct ctl_client *client, ctl_move_request *request,
          const Sagamesh__Saga__V1__ListResponse *page, struct tally *tally)
{
    for (size_t i = 0; i < page->n_sagas; i++) {
        if (ctl_filter_takes(ctl, page->sagas[i]) &&
            !move_one(ctl, client, request, page->sagas[i]->saga_id, tally))
            return false;
    }
    return true;
}

/* Newest first, so what is stuck again soon after is not met again, and the word ends. */
static enum ctl_exit
move_pages(struct ctl *ctl, struct ctl_client *client, ctl_move_request *request,
           struct tally *tally)
{
    struct arena *outer = ctl->arena, *pages[2] = { arena_new(), arena_new() };
    enum ctl_exit status = CTL_DONE;
    const char *token = "";

    /* The token is the last page's, so that one is kept until its successor has come. */
    for (size_t i = 0; token != NULL; i = 1 - i) {
        Sagamesh__Saga__V1__ListRequest list = SAGAMESH__SAGA__V1__LIST_REQUEST__INIT;
        const Sagamesh__Saga__V1__ListResponse *page;

        arena_reset(pages[i]);
        ctl->arena = pages[i];
        list.phase = SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_STUCK;
        list.page_size = CTL_PAGE;
        list.page_token = (char *)(uintptr_t)token;
        page = (const Sagamesh__Saga__V1__ListResponse *)ctl_client_ask(client, SERVICE, "List",
                                                                        &list.base);
        if (page == NULL || !move_page(ctl, client, request, page, tally)) {
            status = ctl_client_exit(client);
            break;
        }
        token = page->next_page_token[0] == '\0' ? NULL : page->next_page_token;
    }
    ctl->arena = outer;
    arena_free(pages[0]);
    arena_free(pages[1]);
    return status;
}

static void
tell(const struct ctl *ctl, struct tally *tally, bool is_whole)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf("%s: %lld sagas, %lld were refused, %lld had moved on by themselves%s\n", ctl->word,
               (long long)tally->moved, (long long)tally->refused, (long long)tally->gone,
               is_whole ? "" : "; not all were seen: say it again, it goes on with the others");
        return;
    }
    json_close_array(&tally->refusals);
    json_open_object(&writer, NULL);
    json_put_int(&writer, "moved", tally->moved);
    json_put_int(&writer, "refused", tally->refused);
    json_put_int(&writer, "gone", tally->gone);
    json_put_bool(&writer, "is_whole", is_whole);
    json_put_raw(&writer, "refusals", tally->refusals.text, tally->refusals.bytes);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

enum ctl_exit
ctl_move_all(struct ctl *ctl, ctl_move_request *request)
{
    struct ctl_client *client = ctl_client_open(ctl, "saga", ctl->saga);
    struct tally tally = { 0 };
    enum ctl_exit status;

    if (client == NULL)
        return CTL_USAGE;
    ctl_client_persist(client, ATTEMPTS);
    json_open_array(&tally.refusals, NULL);
    status = move_pages(ctl, client, request, &tally);
    tell(ctl, &tally, status == CTL_DONE);
    json_writer_free(&tally.refusals);
    ctl_client_close(client);
    return status == CTL_DONE && tally.refused > 0 ? CTL_REFUSED : status;
}
