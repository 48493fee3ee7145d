#include "mesh/rpc/client_channel.h"
#include "mesh/rpc/tls.h"

#include <stddef.h>
#include <stdint.h>

enum {
    REPLY_BYTES_MAX = 16 << 20, /* a full envelope of pages; a server's own limit comes first */
};

grpc_channel *
client_channel_open(const char *address, const char *authority)
{
    /* clang-format off */
    static const struct { const char *key; int value; } settings[] = {
        { GRPC_ARG_ENABLE_RETRIES,                      0 },    /* ours know what to repeat; 15 % */
        { GRPC_ARG_ENABLE_HTTP_PROXY,                   0 },    /* http_proxy is for the web */
        { GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION,   1 },    /* no TXT look-ups */
        { GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,           1 },    /* a connection of its own */
        { GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,        50 },
        { GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,            1000 },
        { GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,            2000 }, /* how long a connect may take */
        { GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000 },
        { GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,          REPLY_BYTES_MAX },
        { GRPC_ARG_MAX_METADATA_SIZE,                   16 << 10 },
        { GRPC_ARG_KEEPALIVE_TIME_MS,                   20 * 1000 }, /* with calls under way only */
        { GRPC_ARG_KEEPALIVE_TIMEOUT_MS,                5 * 1000 },  /* and TCP_USER_TIMEOUT */
    };
    /* clang-format on */
    enum { COUNT = sizeof settings / sizeof settings[0] };
    grpc_arg arguments[COUNT + 1] = { 0 };
    grpc_channel_args all = { .num_args = COUNT, .args = arguments };
    grpc_channel_credentials *credentials = rpc_tls_channel_credentials();
    grpc_channel *channel;

    for (size_t i = 0; i < COUNT; i++) {
        arguments[i].type = GRPC_ARG_INTEGER;
        arguments[i].key = (char *)(uintptr_t)settings[i].key;
        arguments[i].value.integer = settings[i].value;
    }
    if (authority != NULL) {
        arguments[COUNT].type = GRPC_ARG_STRING;
        arguments[COUNT].key = (char *)(uintptr_t)GRPC_ARG_DEFAULT_AUTHORITY;
        arguments[COUNT].value.string = (char *)(uintptr_t)authority;
        all.num_args++;
    }
    channel = grpc_channel_create(address, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}
