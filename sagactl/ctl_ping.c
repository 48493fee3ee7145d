/* Is a program there, and does it serve? */
#include "mesh/base/clock.h"
#include "sagactl/ctl_client.h"

#include <grpc/health/v1/health.pb-c.h>
#include <stdio.h>

static const char *
status_text(Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &grpc__health__v1__health_check_response__serving_status__descriptor, (int)status);

    return value == NULL ? "UNKNOWN" : value->name;
}

static enum ctl_exit
say(const struct ctl *ctl, const char *address,
    Grpc__Health__V1__HealthCheckResponse__ServingStatus status, int64_t took_us)
{
    bool is_serving = status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    struct json_writer writer = { 0 };

    if (ctl->is_json) {
        json_open_object(&writer, NULL);
        json_put_text(&writer, "address", address);
        json_put_text(&writer, "status", status_text(status));
        json_put_int(&writer, "took_us", took_us);
        json_close_object(&writer);
        ctl_print_json(&writer);
    } else {
        printf("%s is %s (%lld us)\n", address, status_text(status), (long long)took_us);
        if (!is_serving)
            printf("Its log says why; most often its database is away: ./dev status\n");
    }
    return is_serving ? CTL_DONE : CTL_REFUSED;
}

enum ctl_exit
ctl_ping(struct ctl *ctl)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const Grpc__Health__V1__HealthCheckResponse *answer;
    struct ctl_client *client =
        ctl_client_open(ctl, "saga", ctl->argument_count > 0 ? ctl->arguments[0] : ctl->saga);
    int64_t began_us = clock_steady_us();
    enum ctl_exit status;

    if (client == NULL)
        return CTL_USAGE;
    answer = (const Grpc__Health__V1__HealthCheckResponse *)ctl_client_ask(
        client, &grpc__health__v1__health__descriptor, "Check", &request.base);
    if (answer == NULL)
        status = ctl_client_exit(client);
    else
        status = say(ctl, ctl_client_address(client), answer->status, clock_steady_us() - began_us);
    ctl_client_close(client);
    return status;
}
