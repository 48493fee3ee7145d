/* A text is read in one walk. An address is kept as it was written, since that is what gRPC takes and what the log and
 * the metrics name; only "dns:///" is taken apart, because the client looks its name up by itself. */
#include "mesh/rpc/target.h"
#include "mesh/base/text.h"

#include <stdbool.h>
#include <string.h>

#define DNS "dns:///"
#define HOST_CHARACTERS TEXT_LETTERS_AND_DIGITS "-._"
#define IPV6_CHARACTERS TEXT_DIGITS "abcdefABCDEF:."

/* The ':' before the port, when what stands before it is a host and what follows is a port. Else NULL, and *ret_rule is what the
 * text broke. */
static const char *
address_check(const char *text, const char **ret_rule)
{
    const char *colon = strrchr(text, ':');
    char host[RPC_HOST_BYTES_MAX + 1];
    size_t bytes;
    int64_t port;

    if (colon == NULL || colon == text) {
        *ret_rule = "must be host:port";
        return NULL;
    }
    bytes = (size_t)(colon - text);
    if (bytes >= sizeof host) {
        *ret_rule = "must have a host of 253 bytes at most";
        return NULL;
    }
    memcpy(host, text, bytes);
    host[bytes] = '\0';
    if (!text_read_int(colon + 1, 1, 65535, &port)) {
        *ret_rule = "must have a port from 1 to 65535";
        return NULL;
    }
    if (host[0] == '[' && host[bytes - 1] == ']') {
        host[bytes - 1] = '\0';
        if (text_is_of(host + 1, IPV6_CHARACTERS))
            return colon;
    } else if (text_is_of(host, HOST_CHARACTERS)) {
        return colon;
    }
    *ret_rule = "must have a name, an IPv4 address or an [IPv6 address] as its host";
    return NULL;
}

static bool
is_there(const struct rpc_target *target, const char *address)
{
    for (size_t i = 0; i < target->count; i++) {
        if (strcmp(target->addresses[i], address) == 0)
            return true;
    }
    return false;
}

static enum error
name_read(const char *field, const char *text, struct rpc_target *target, struct problem *problem)
{
    const char *rule, *colon = address_check(text, &rule);
    int64_t port;

    if (strchr(text, ',') != NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be one " DNS "name:port, without a list");
    if (colon == NULL || text[0] == '[')
        return problem_set(problem, ERR_BAD_REQUEST, field, "'" DNS "%.64s' %s", text,
                           colon == NULL ? rule : "must have a name to look up");
    memcpy(target->name, text, (size_t)(colon - text));
    text_read_int(colon + 1, 1, 65535, &port);
    target->port = (int)port;
    return ERR_OK;
}

static enum error
address_add(const char *field, const char *text, size_t bytes, struct rpc_target *target,
            struct problem *problem)
{
    char *address = target->addresses[target->count];
    const char *rule;

    if (bytes > RPC_ADDRESS_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, field, "must have a host of %d bytes at most",
                           RPC_HOST_BYTES_MAX);
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    if (address_check(address, &rule) == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "'%.64s' %s", address, rule);
    if (is_there(target, address))
        return problem_set(problem, ERR_BAD_REQUEST, field, "must have '%.64s' once", address);
    target->count++;
    return ERR_OK;
}

enum error
rpc_target_parse(const char *field, const char *text, struct rpc_target *ret_target,
                 struct problem *problem)
{
    enum error error = ERR_OK;

    memset(ret_target, 0, sizeof *ret_target);
    if (strncmp(text, DNS, strlen(DNS)) == 0)
        return name_read(field, text + strlen(DNS), ret_target, problem);
    for (bool is_last = false; error == ERR_OK && !is_last;) {
        size_t bytes = strcspn(text, ",");

        if (ret_target->count == RPC_ENDPOINTS_MAX)
            return problem_set(problem, ERR_BAD_REQUEST, field, "must have %d addresses at most",
                               RPC_ENDPOINTS_MAX);
        error = address_add(field, text, bytes, ret_target, problem);
        is_last = text[bytes] == '\0';
        text += bytes + 1;
    }
    return error;
}
