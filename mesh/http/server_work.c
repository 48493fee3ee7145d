/* server_work.c -- Works: made, used again, and what their bodies hold of the server's budget. */
#include "mesh/http/server_inner.h"

#include <stdlib.h>
#include <string.h>

struct work *
work_take(struct conn *conn)
{
    struct http_server *server = conn->server;
    struct work *work = server->pool;

    if (work != NULL) {
        server->pool = work->next;
        server->pool_count--;
    } else {
        work = memory_take(sizeof *work);
        work->arena = arena_new();
        work->http1 = http1_new(work->arena, SIZE_MAX); /* the route's limit is set with the head */
        work->server = server;
    }
    work->conn = conn;
    return work;
}

void
work_free(struct work *work)
{
    free(work->reply);
    http1_free(work->http1);
    arena_free(work->arena);
    free(work);
}

void
work_give_back(struct work *work)
{
    struct http_server *server = work->server;

    atomic_fetch_sub(&server->bodies_bytes, work->body_bytes);
    work->body_bytes = 0;
    if (server->pool_count == POOL_MAX) {
        work_free(work);
        return;
    }
    free(work->reply);
    work->reply = NULL;
    work->conn = NULL;
    work->is_handed = false;
    work->span = (struct span){ 0 };
    memset(&work->exchange, 0, sizeof work->exchange);
    http1_next(work->http1);
    work->next = server->pool;
    server->pool = work;
    server->pool_count++;
}

bool
work_measure(struct work *work)
{
    struct http_server *server = work->server;
    size_t bytes = http1_request(work->http1)->body_bytes;

    atomic_fetch_add(&server->bodies_bytes, bytes - work->body_bytes);
    work->body_bytes = bytes;
    return bytes == 0 || atomic_load(&server->bodies_bytes) <= server->options.bodies_bytes_max;
}
