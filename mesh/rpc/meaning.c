#include "mesh/rpc/meaning.h"
#include "mesh/rpc/status.h"

#include <string.h>

/* clang-format off */
static const struct {
    bool may_refuse;   /* a service's own ErrorInfo with it is a decision */
    bool is_made_up;   /* libraries, proxies or gateways answer so by themselves */
} codes[] = {
    [WIRE_OK]                  = { false, false },
    [WIRE_CANCELLED]           = { false, true  },
    [WIRE_UNKNOWN]             = { false, true  },
    [WIRE_INVALID_ARGUMENT]    = { true,  true  },
    [WIRE_DEADLINE_EXCEEDED]   = { false, true  },
    [WIRE_NOT_FOUND]           = { true,  false },
    [WIRE_ALREADY_EXISTS]      = { true,  false },
    [WIRE_PERMISSION_DENIED]   = { false, true  },
    [WIRE_RESOURCE_EXHAUSTED]  = { false, true  },
    [WIRE_FAILED_PRECONDITION] = { true,  false },
    [WIRE_ABORTED]             = { false, false },
    [WIRE_OUT_OF_RANGE]        = { true,  false },
    [WIRE_UNIMPLEMENTED]       = { false, true  },
    [WIRE_INTERNAL]            = { false, true  },
    [WIRE_UNAVAILABLE]         = { false, true  },
    [WIRE_DATA_LOSS]           = { false, false },
    [WIRE_UNAUTHENTICATED]     = { false, true  },
};
/* clang-format on */

static bool
is_service_of(const char *service, const char *method)
{
    size_t bytes = strlen(service);

    return bytes > 0 && strncmp(method, service, bytes) == 0 && method[bytes] == '/';
}

/* A signature that is not as agreed is a decision of ours, though its code is one of gateways. */
static bool
mesh_refuses(const struct rpc_answer *answer, const char *method)
{
    return strcmp(answer->domain, RPC_STATUS_DOMAIN) == 0 &&
           is_service_of(answer->service, method) &&
           (codes[answer->code].may_refuse || answer->code == WIRE_UNAUTHENTICATED);
}

static bool
foreign_refuses(const struct rpc_answer *answer)
{
    if (!codes[answer->code].may_refuse)
        return false;
    if (answer->reason[0] == '\0')
        return !codes[answer->code].is_made_up;
    return strcmp(answer->domain, RPC_STATUS_DOMAIN) != 0; /* one of ours has no business there */
}

enum rpc_meaning
rpc_meaning_of(const struct rpc_answer *answer, const char *method, bool is_mesh)
{
    bool is_ours = strcmp(answer->domain, RPC_STATUS_DOMAIN) == 0;

    if (answer->code == WIRE_OK)
        return RPC_DONE;
    if (answer->nothing_done && (is_ours || !is_mesh))
        return RPC_NOT_DONE;
    return (is_mesh ? mesh_refuses(answer, method) : foreign_refuses(answer)) ? RPC_REFUSED
                                                                              : RPC_UNKNOWN;
}
