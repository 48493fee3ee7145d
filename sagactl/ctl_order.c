#include "sagactl/ctl_order.h"
#include "mesh/base/uuid.h"
#include "sagactl/ctl_client.h"

#include <string.h>

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define SERVICE (&sagamesh__order__v1__order_service__descriptor)

bool
ctl_order_find(struct ctl *ctl, const char *text, const Sagamesh__Order__V1__Order **ret_order,
               enum ctl_exit *ret_status)
{
    Sagamesh__Order__V1__GetRequest request = SAGAMESH__ORDER__V1__GET_REQUEST__INIT;
    const Sagamesh__Order__V1__GetResponse *got;
    struct ctl_client *client;
    struct rpc_result result;
    struct uuid id;

    *ret_order = NULL;
    if (!uuid_parse(text, strlen(text), &id))
        return true;
    client = ctl_client_open(ctl, "order", ctl->order);
    if (client == NULL) {
        *ret_status = CTL_USAGE;
        return false;
    }
    request.order_id = (char *)(uintptr_t)text;
    got = (const Sagamesh__Order__V1__GetResponse *)ctl_client_try(client, SERVICE, "Get",
                                                                   &request.base, &result);
    *ret_status = ctl_client_exit(client);
    if (got != NULL)
        *ret_order = got->order;
    else if (result.code != WIRE_NOT_FOUND)
        ctl_client_say(client, "Get", &result);
    ctl_client_close(client);
    return got != NULL || result.code == WIRE_NOT_FOUND;
}

const Sagamesh__Saga__V1__GetResponse *
ctl_order_saga(struct ctl *ctl, const char *order_id, enum ctl_exit *ret_status)
{
    Sagamesh__Saga__V1__GetRequest request = SAGAMESH__SAGA__V1__GET_REQUEST__INIT;
    struct ctl_client *client = ctl_client_open(ctl, "saga", ctl->saga);
    const Sagamesh__Saga__V1__GetResponse *got;

    *ret_status = CTL_USAGE;
    if (client == NULL)
        return NULL;
    request.saga_id = (char *)(uintptr_t)order_id;
    got =
        (const Sagamesh__Saga__V1__GetResponse *)ctl_client_ask(client, SAGA, "Get", &request.base);
    *ret_status = ctl_client_exit(client);
    ctl_client_close(client);
    return got;
}
