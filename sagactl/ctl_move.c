/* Moving sagas: retry, compensate, settle, cancel. Each carries an id of its own, so that a try that got no
 * answer can be repeated as the same try. The first two move all stuck ones too (ctl_move_all.c). */
#include "sagactl/ctl_client.h"
#include "sagactl/ctl_filter.h"
#include "sagactl/ctl_move_all.h"
#include "sagactl/ctl_text.h"

#include <stdio.h>
#include <string.h>

#define SERVICE (&sagamesh__saga__v1__saga_control_service__descriptor)

static void
say_phase(const struct ctl *ctl, const char *saga_id, Sagamesh__Saga__V1__SagaPhase phase)
{
    struct json_writer writer = { 0 };

    if (!ctl->is_json) {
        printf("%s is %s; sagactl show %s says how it goes\n", saga_id, ctl_phase_text(phase),
               saga_id);
        return;
    }
    json_open_object(&writer, NULL);
    json_put_text(&writer, "saga_id", saga_id);
    json_put_text(&writer, "phase", ctl_phase_text(phase));
    json_close_object(&writer);
    ctl_print_json(&writer);
}

/* The responses have the same shape, a phase; so each caller hands over what it read. */
static const ProtobufCMessage *
ask(struct ctl *ctl, const char *method, const ProtobufCMessage *request, const char *saga_id,
    const char *id, enum ctl_exit *ret_status)
{
    struct ctl_client *client = ctl_client_open(ctl, "saga", ctl->saga);
    const ProtobufCMessage *answer;

    *ret_status = CTL_USAGE;
    if (client == NULL)
        return NULL;
    answer = ctl_client_ask(client, SERVICE, method, request);
    *ret_status = answer == NULL ? ctl_client_exit(client) : CTL_DONE;
    if (answer == NULL)
        ctl_client_say_again(client, saga_id, id);
    ctl_client_close(client);
    return answer;
}

static const ProtobufCMessage *
retry_request(struct ctl *ctl, const char *saga_id, const char *request_id, const char **ret_method)
{
    Sagamesh__Saga__V1__RetryRequest *request = arena_take(ctl->arena, sizeof *request);

    sagamesh__saga__v1__retry_request__init(request);
    request->request_id = (char *)(uintptr_t)request_id;
    request->saga_id = (char *)(uintptr_t)saga_id;
    request->comment = (char *)(uintptr_t)ctl->comment;
    *ret_method = "Retry";
    return &request->base;
}

static const ProtobufCMessage *
compensate_request(struct ctl *ctl, const char *saga_id, const char *request_id,
                   const char **ret_method)
{
    Sagamesh__Saga__V1__CompensateRequest *request = arena_take(ctl->arena, sizeof *request);

    sagamesh__saga__v1__compensate_request__init(request);
    request->request_id = (char *)(uintptr_t)request_id;
    request->saga_id = (char *)(uintptr_t)saga_id;
    request->comment = (char *)(uintptr_t)ctl->comment;
    *ret_method = "Compensate";
    return &request->base;
}

/* One saga or --all: not both, and --state and --reason choose among all. */
static bool
says_which(const struct ctl *ctl)
{
    bool has_id = ctl->argument_count > 0;

    if (has_id == ctl->is_all)
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST",
                 "sagactl list --phase=stuck shows the ids there are.",
                 "%s needs an id, or --all, and not both", ctl->word);
    else if (has_id && ctl_filter_is_set(ctl))
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", NULL, "--state and --reason go with --all");
    else if (ctl->is_all && ctl->request_id[0] != '\0')
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "Say it again: it goes on with the others.",
                 "--request-id is of one saga, and not of all");
    else
        return true;
    return false;
}

enum ctl_exit
ctl_retry(struct ctl *ctl)
{
    const Sagamesh__Saga__V1__RetryResponse *answer;
    const char *saga_id, *id = ctl_request_id(ctl), *method;
    enum ctl_exit status;

    if (!says_which(ctl))
        return CTL_USAGE;
    if (ctl->is_all)
        return ctl_move_all(ctl, retry_request);
    saga_id = ctl_id_argument(ctl);
    if (saga_id == NULL)
        return CTL_USAGE;
    answer = (const Sagamesh__Saga__V1__RetryResponse *)ask(
        ctl, "Retry", retry_request(ctl, saga_id, id, &method), saga_id, id, &status);
    if (answer != NULL)
        say_phase(ctl, saga_id, answer->phase);
    return status;
}

enum ctl_exit
ctl_compensate(struct ctl *ctl)
{
    const Sagamesh__Saga__V1__CompensateResponse *answer;
    const char *saga_id, *id = ctl_request_id(ctl), *method;
    enum ctl_exit status;

    if (!says_which(ctl))
        return CTL_USAGE;
    if (ctl->is_all)
        return ctl_move_all(ctl, compensate_request);
    saga_id = ctl_id_argument(ctl);
    if (saga_id == NULL)
        return CTL_USAGE;
    answer = (const Sagamesh__Saga__V1__CompensateResponse *)ask(
        ctl, "Compensate", compensate_request(ctl, saga_id, id, &method), saga_id, id, &status);
    if (answer != NULL)
        say_phase(ctl, saga_id, answer->phase);
    return status;
}

static bool
settlement_find(const char *word, Sagamesh__Saga__V1__Settlement *ret_settlement)
{
    static const char *const words[] = { NULL, "done", "refused",
                                         "ended" }; /* by the .proto's numbers */

    for (int i = 1; i < (int)(sizeof words / sizeof *words); i++) {
        if (strcmp(words[i], word) == 0) {
            *ret_settlement = (Sagamesh__Saga__V1__Settlement)i;
            return true;
        }
    }
    return false;
}

enum ctl_exit
ctl_settle(struct ctl *ctl)
{
    Sagamesh__Saga__V1__SettleRequest request = SAGAMESH__SAGA__V1__SETTLE_REQUEST__INIT;
    const Sagamesh__Saga__V1__SettleResponse *answer;
    const char *saga_id = ctl_id_argument(ctl), *id = ctl_request_id(ctl);
    enum ctl_exit status;

    if (saga_id == NULL)
        return CTL_USAGE;
    if (!settlement_find(ctl->arguments[1], &request.settlement))
        return ctl_fail(
            ctl, CTL_USAGE, "BAD_REQUEST",
            "done: it happened; refused: it did not and will not; ended: the saga ends.",
            "a saga is settled as done, refused or ended, not '%s'", ctl->arguments[1]);
    if (ctl->comment[0] == '\0')
        return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "It is kept with the saga for good.",
                        "settle needs --comment: who says so, and why");
    request.request_id = (char *)(uintptr_t)id;
    request.saga_id = (char *)(uintptr_t)saga_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    request.output_json = (char *)(uintptr_t)ctl->output;
    answer = (const Sagamesh__Saga__V1__SettleResponse *)ask(ctl, "Settle", &request.base, saga_id,
                                                             id, &status);
    if (answer != NULL)
        say_phase(ctl, saga_id, answer->phase);
    return status;
}

enum ctl_exit
ctl_cancel(struct ctl *ctl)
{
    Sagamesh__Saga__V1__CancelRequest request = SAGAMESH__SAGA__V1__CANCEL_REQUEST__INIT;
    const Sagamesh__Saga__V1__CancelResponse *answer;
    const char *saga_id = ctl_id_argument(ctl), *id = ctl_request_id(ctl);
    enum ctl_exit status;

    if (saga_id == NULL)
        return CTL_USAGE;
    request.request_id = (char *)(uintptr_t)id;
    request.saga_id = (char *)(uintptr_t)saga_id;
    answer = (const Sagamesh__Saga__V1__CancelResponse *)ask(ctl, "Cancel", &request.base, saga_id,
                                                             id, &status);
    if (answer != NULL)
        say_phase(ctl, saga_id, answer->phase);
    return status;
}
