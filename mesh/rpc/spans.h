/* spans.h -- Spans of gRPC calls, by the semantic conventions for RPC: name, kind, attributes, what is an error.
 *
 * Thread    Any.
 */
#ifndef MESH_RPC_SPANS_H
#define MESH_RPC_SPANS_H

#include "mesh/base/error.h"
#include "mesh/observe/span.h"

/* A call that the server answers. One without a trace begins one, where spans are recorded. */
void rpc_span_served(struct span *span, char *traceparent);

/* envelope: traceparent of the span of the message that it came in; NULL or "": it came alone. */
void rpc_span_answered(const struct span *span, const char *traceparent, const char *method,
                       enum error answer, const char *envelope);

/* A call that is sent to address ("127.0.0.1:7401"). attempts 0: it is not counted. */
void rpc_span_sent(const struct span *span, const char *traceparent, const char *method,
                   enum wire_code code, const char *address, const char *envelope, int attempts);

#endif
