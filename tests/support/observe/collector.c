#include "tests/support/observe/collector.h"
#include "mesh/base/arena.h"
#include "mesh/base/die.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUESTS_MAX = 1000, HEAD_BYTES_MAX = 8192, ANSWER_BYTES = 1024 };

struct request {
    char head[HEAD_BYTES_MAX];
    char *body;
    size_t bytes;
};

struct collector {
    int listener, port, connection; /* connection: -1, none */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over;
    int status;
    char header[128], body[256];
    size_t count;
    struct request *requests[REQUESTS_MAX];
};

/* False: the connection is over. */
static bool
read_all(int socket, char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t count = recv(socket, data, bytes, 0);

        if (count <= 0)
            return false;
        data += count;
        bytes -= (size_t)count;
    }
    return true;
}

static struct request *
request_free(struct request *request)
{
    if (request != NULL)
        free(request->body);
    free(request);
    return NULL;
}

static struct request *
request_read(int socket)
{
    struct request *request = memory_take(sizeof *request);
    size_t count = 0;
    const char *length;

    while (count < 4 || memcmp(request->head + count - 4, "\r\n\r\n", 4) != 0) {
        if (count + 1 == sizeof request->head || !read_all(socket, request->head + count, 1))
            return request_free(request);
        count++;
    }
    length = strstr(request->head, "Content-Length: ");
    assert(length != NULL);
    request->bytes = (size_t)atoi(length + 16);
    request->body = memory_take(request->bytes + 1);
    return read_all(socket, request->body, request->bytes) ? request : request_free(request);
}

/* Waits for an answer to be set, where none is. False: the end came first. */
static bool
answer_make(struct collector *collector, struct request *request, char answer[ANSWER_BYTES])
{
    bool is_over;

    pthread_mutex_lock(&collector->lock);
    assert(collector->count < REQUESTS_MAX);
    collector->requests[collector->count++] = request;
    while (collector->status == 0 && !collector->is_over)
        pthread_cond_wait(&collector->changed, &collector->lock);
    snprintf(answer, ANSWER_BYTES, "HTTP/1.1 %d x\r\n%s%sContent-Length: %zu\r\n\r\n%s",
             collector->status, collector->header, collector->header[0] == '\0' ? "" : "\r\n",
             strlen(collector->body), collector->body);
    is_over = collector->is_over;
    pthread_mutex_unlock(&collector->lock);
    return !is_over;
}

static void
serve(struct collector *collector, int connection)
{
    struct request *request;
    char answer[ANSWER_BYTES];

    while ((request = request_read(connection)) != NULL &&
           answer_make(collector, request, answer)) {
        if (send(connection, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            break;
    }
}

static void *
collector_run(void *context)
{
    struct collector *collector = context;
    int connection;

    while ((connection = accept(collector->listener, NULL, NULL)) >= 0) {
        pthread_mutex_lock(&collector->lock);
        collector->connection = connection;
        pthread_mutex_unlock(&collector->lock);
        serve(collector, connection);
        pthread_mutex_lock(&collector->lock);
        collector->connection = -1;
        close(connection);
        pthread_mutex_unlock(&collector->lock);
    }
    return NULL;
}

struct collector *
collector_open(void)
{
    struct collector *collector = memory_take(sizeof *collector);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;
    int failed;

    collector->connection = -1;
    collector->status = 200;
    pthread_mutex_init(&collector->lock, NULL);
    pthread_cond_init(&collector->changed, NULL);
    collector->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed = bind(collector->listener, (struct sockaddr *)&address, sizeof address);
    failed |= listen(collector->listener, 16);
    failed |= getsockname(collector->listener, (struct sockaddr *)&address, &bytes);
    assert(!failed);
    (void)failed;
    collector->port = ntohs(address.sin_port);
    thread_start(&collector->thread, collector_run, collector);
    return collector;
}

struct collector *
collector_close(struct collector *collector)
{
    pthread_mutex_lock(&collector->lock);
    collector->is_over = true;
    pthread_cond_broadcast(&collector->changed);
    shutdown(collector->listener, SHUT_RDWR);
    if (collector->connection >= 0)
        shutdown(collector->connection, SHUT_RDWR);
    pthread_mutex_unlock(&collector->lock);
    pthread_join(collector->thread, NULL);
    close(collector->listener);
    for (size_t i = 0; i < collector->count; i++)
        request_free(collector->requests[i]);
    pthread_cond_destroy(&collector->changed);
    pthread_mutex_destroy(&collector->lock);
    free(collector);
    return NULL;
}

int
collector_port(const struct collector *collector)
{
    return collector->port;
}

void
collector_answers(struct collector *collector, int status, const char *header, const char *body)
{
    pthread_mutex_lock(&collector->lock);
    collector->status = status;
    snprintf(collector->header, sizeof collector->header, "%s", header);
    snprintf(collector->body, sizeof collector->body, "%s", body);
    pthread_cond_broadcast(&collector->changed);
    pthread_mutex_unlock(&collector->lock);
}

size_t
collector_count(struct collector *collector)
{
    size_t count;

    pthread_mutex_lock(&collector->lock);
    count = collector->count;
    pthread_mutex_unlock(&collector->lock);
    return count;
}

const char *
collector_head(struct collector *collector, size_t index)
{
    assert(index < collector_count(collector));
    return collector->requests[index]->head;
}

const char *
collector_body(struct collector *collector, size_t index, size_t *ret_bytes)
{
    assert(index < collector_count(collector));
    *ret_bytes = collector->requests[index]->bytes;
    return collector->requests[index]->body;
}
