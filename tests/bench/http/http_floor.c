/* http_floor.c -- The least a request can cost: mesh/http/server answering a constant.
 *
 * A process of its own, as its CPU is measured. It ends when its standard input does, so it never
 * outlives the benchmark.
 */
#define _GNU_SOURCE /* pipe2 */
#include "mesh/base/log.h"
#include "mesh/http/server.h"
#include "tests/bench/http/http_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- the process ---- */

struct constant {
    int status;
    char *body;
    size_t body_bytes;
};

static void
constant_answer(struct http_exchange *exchange)
{
    const struct constant *constant = exchange->owner;

    http_answer(exchange, constant->status, "application/json", constant->body,
                constant->body_bytes, NULL);
}

/* clang-format off */
static const struct http_route floor_routes[] = {
    { .method = "POST", .path = "/api/v1/orders",           .handler = constant_answer, .body_bytes_max = 65536, .content_type = "application/json" },
    { .method = "GET",  .path = "/api/v1/orders/{orderNo}", .handler = constant_answer },
    { .method = "POST", .path = "/webhooks/{provider}",     .handler = constant_answer, .body_bytes_max = 65536 },
    { 0 },
};
/* clang-format on */

int
http_floor_main(int argc, char **argv)
{
    struct constant constant = { 0 };
    const struct http_table tables[] = { { .routes = floor_routes, .owner = &constant }, { 0 } };
    struct http_server_options options = { .listen = "127.0.0.1:0", .tables = tables };
    struct http_server *server;
    ssize_t count;
    char byte;

    if (argc != 2)
        bench_fail("bench-http floor STATUS BYTES");
    constant.status = atoi(argv[0]);
    constant.body_bytes = (size_t)atol(argv[1]);
    constant.body = memory_take(constant.body_bytes + 1);
    memset(constant.body, 'x', constant.body_bytes);
    signal(SIGPIPE, SIG_IGN);
    if (http_server_open(&options, &server) != ERR_OK)
        return 1;
    printf("%d\n", http_server_port(server));
    fflush(stdout);
    do {
        errno = 0;
        count = read(STDIN_FILENO, &byte, 1);
    } while (count > 0 || errno == EINTR);
    http_server_stop(server, 1000);
    http_server_close(server);
    free(constant.body);
    return 0;
}

/* ---- its owner ---- */

static void
pipe_open(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0)
        bench_fail("no pipe: %s", strerror(errno));
}

static int
port_read(int output)
{
    FILE *file = fdopen(output, "r");
    int port = 0;

    if (file == NULL || fscanf(file, "%d", &port) != 1)
        bench_fail("the floor has not begun");
    fclose(file);
    return port;
}

struct http_floor
http_floor_open(int status, size_t body_bytes)
{
    struct http_floor floor;
    char status_text[16], bytes_text[24];
    char *const arguments[] = { (char *)"bench-http", (char *)"floor", status_text, bytes_text,
                                NULL };
    posix_spawn_file_actions_t actions;
    int input[2], output[2], error;

    snprintf(status_text, sizeof status_text, "%d", status);
    snprintf(bytes_text, sizeof bytes_text, "%zu", body_bytes);
    pipe_open(input);
    pipe_open(output);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    error = posix_spawn(&floor.pid, "/proc/self/exe", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        bench_fail("the floor cannot be started: %s", strerror(error));
    close(input[0]);
    close(output[1]);
    floor.input = input[1];
    floor.port = port_read(output[0]);
    return floor;
}

void
http_floor_close(struct http_floor *floor)
{
    int status;

    close(floor->input);
    while (waitpid(floor->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status != 0)
        bench_fail("the floor ended with status %d", status);
}
