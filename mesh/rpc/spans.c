/* A call's span is named by its method and says how it ended, as OpenTelemetry's conventions for gRPC want it. For the
 * server only its own failures are errors: that a caller asked for what is not there, or for too much, is an answer.
 * For the client everything but OK is one, since its caller did not get what it asked for. Neither side's span has
 * anything of the messages, or of the ids in them.
 *
 * One span is a whole call: the client's lasts over all attempts, and over the time that a request waits to be
 * sent, so that what a caller felt is what it shows. */
#include "mesh/rpc/spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
rpc_span_served(struct span *span, char *traceparent)
{
    if (traceparent[0] == '\0' && spans_are_on())
        span_begin_first(span, traceparent);
    else
        span_begin(span, traceparent);
}

/* The others are the client's errors: the server did what it should. */
static bool
is_server_error(enum wire_code code)
{
    return code == WIRE_UNKNOWN || code == WIRE_DEADLINE_EXCEEDED || code == WIRE_UNIMPLEMENTED ||
           code == WIRE_INTERNAL || code == WIRE_UNAVAILABLE || code == WIRE_DATA_LOSS;
}

void
rpc_span_answered(const struct span *span, const char *traceparent, const char *method,
                  enum error answer, const char *envelope)
{
    enum wire_code code = error_wire_code(answer);
    const char *name = wire_code_name((int)code);

    if (!span_is_on(span))
        return;
    span_end(span, traceparent,
             &(struct span_note){ .kind = SPAN_SERVER,
                                  .name = method,
                                  .link = envelope,
                                  .error = is_server_error(code) ? name : NULL,
                                  .attributes = { { "rpc.system.name", "grpc", 0 },
                                                  { "rpc.method", method, 0 },
                                                  { "rpc.status_code", name, 0 } } });
}

void
rpc_span_sent(const struct span *span, const char *traceparent, const char *method,
              enum wire_code code, const char *address, const char *envelope, int attempts)
{
    const char *name = wire_code_name((int)code), *colon;
    char host[256];

    if (!span_is_on(span))
        return;
    colon = strrchr(address, ':');
    snprintf(host, sizeof host, "%.*s",
             colon == NULL ? (int)strlen(address) : (int)(colon - address), address);
    span_end(span, traceparent,
             &(struct span_note){
                 .kind = SPAN_CLIENT,
                 .name = method,
                 .link = envelope,
                 .error = code == WIRE_OK ? NULL : name,
                 .attributes = { { "rpc.system.name", "grpc", 0 },
                                 { "rpc.method", method, 0 },
                                 { "rpc.status_code", name, 0 },
                                 { "server.address", host, 0 },
                                 { "server.port", NULL, colon == NULL ? 0 : atoi(colon + 1) },
                                 { attempts > 0 ? "sagamesh.attempts" : NULL, NULL, attempts } } });
}
