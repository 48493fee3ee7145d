/* server_span.c -- A request as a span, from its head to its answer, as the client sees it: the loop thread
 * begins and ends it, whichever thread answers. */
#include "mesh/http/server_inner.h"

#include <stdio.h>

enum { STATUS_SERVER_ERROR = 500, NAME_BYTES = 256 };

void
server_span_begin(struct work *work)
{
    struct http_exchange *exchange = &work->exchange;

    if (work->place->has_spans)
        span_begin_first(&work->span, exchange->traceparent);
    else if (exchange->traceparent[0] == '\0')
        trace_start(exchange->traceparent);
}

void
server_span_end(struct work *work, int status)
{
    const struct http_route *route = work->exchange.route;
    char name[NAME_BYTES], error[12];

    if (!span_is_on(&work->span))
        return;
    snprintf(name, sizeof name, "%s %s", route->method, route->path);
    snprintf(error, sizeof error, "%d", status);
    if (status == 0)
        snprintf(error, sizeof error, "closed");
    span_end(
        &work->span, work->exchange.traceparent,
        &(struct span_note){
            .kind = SPAN_SERVER,
            .name = name,
            .error = status == 0 || status >= STATUS_SERVER_ERROR ? error : NULL,
            .attributes = { { "http.request.method", route->method, 0 },
                            { "http.route", route->path, 0 },
                            { "url.scheme", "http", 0 },
                            { "network.protocol.version",
                              work->exchange.request->is_http10 ? "1.0" : "1.1", 0 },
                            { status == 0 ? NULL : "http.response.status_code", NULL, status } } });
    work->span = (struct span){ 0 }; /* once: a handler may be later than its deadline */
}
