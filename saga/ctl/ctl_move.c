/* Moving sagas: retry, compensate, cancel. Each carries an id of its own, so that a try that got no
 * answer can be repeated as the same try. */
#include "saga/ctl/ctl_client.h"
#include "saga/ctl/ctl_text.h"

#include <stdio.h>
#include <string.h>

#define SERVICE (&sagamesh__saga__v1__saga_service__descriptor)

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

/* The three responses have the same shape, a phase; so each caller hands over what it read. */
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

enum ctl_exit
ctl_retry(struct ctl *ctl)
{
    Sagamesh__Saga__V1__RetryRequest request = SAGAMESH__SAGA__V1__RETRY_REQUEST__INIT;
    const Sagamesh__Saga__V1__RetryResponse *answer;
    const char *saga_id = ctl_id_argument(ctl), *id = ctl_request_id(ctl);
    enum ctl_exit status;

    if (saga_id == NULL)
        return CTL_USAGE;
    request.request_id = (char *)(uintptr_t)id;
    request.saga_id = (char *)(uintptr_t)saga_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    answer = (const Sagamesh__Saga__V1__RetryResponse *)ask(ctl, "Retry", &request.base, saga_id,
                                                            id, &status);
    if (answer != NULL)
        say_phase(ctl, saga_id, answer->phase);
    return status;
}

enum ctl_exit
ctl_compensate(struct ctl *ctl)
{
    Sagamesh__Saga__V1__CompensateRequest request = SAGAMESH__SAGA__V1__COMPENSATE_REQUEST__INIT;
    const Sagamesh__Saga__V1__CompensateResponse *answer;
    const char *saga_id = ctl_id_argument(ctl), *id = ctl_request_id(ctl);
    enum ctl_exit status;

    if (saga_id == NULL)
        return CTL_USAGE;
    request.request_id = (char *)(uintptr_t)id;
    request.saga_id = (char *)(uintptr_t)saga_id;
    request.comment = (char *)(uintptr_t)ctl->comment;
    answer = (const Sagamesh__Saga__V1__CompensateResponse *)ask(ctl, "Compensate", &request.base,
                                                                 saga_id, id, &status);
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
