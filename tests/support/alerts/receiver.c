#include "tests/support/alerts/receiver.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

const char *
received_header(const struct received *request, const char *name, char value[512])
{
    const char *line = request->head;
    size_t bytes = strlen(name);

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, bytes) == 0 && line[bytes] == ':') {
            snprintf(value, 512, "%.*s", (int)strcspn(line + bytes + 2, "\r"), line + bytes + 2);
            return value;
        }
    }
    return NULL;
}

/* Reads until the head and as much body as it announces are there. False: it was too long, or broken off. */
static bool
read_request(int connection, struct received *request)
{
    char text[RECEIVED_BYTES_MAX], length[512];
    size_t bytes = 0, body_bytes, head_bytes = 0;
    char *end;

    for (;;) {
        ssize_t got = read(connection, text + bytes, sizeof text - 1 - bytes);

        if (got <= 0)
            return false;
        bytes += (size_t)got;
        text[bytes] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (end == NULL)
            continue;
        head_bytes = (size_t)(end - text) + 4;
        snprintf(request->head, sizeof request->head, "%.*s", (int)head_bytes, text);
        body_bytes = received_header(request, "content-length", length) == NULL
                         ? 0
                         : strtoul(length, NULL, 10);
        if (bytes - head_bytes >= body_bytes)
            break;
    }
    snprintf(request->body, sizeof request->body, "%s", text + head_bytes);
    return true;
}

static void
answer(struct receiver *receiver, int connection)
{
    static struct received request;
    const char *text = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    if (!read_request(connection, &request))
        return;
    pthread_mutex_lock(&receiver->lock);
    if (receiver->count < receiver->answer_count)
        text = receiver->answers[receiver->count];
    ck_assert_uint_lt(receiver->count, RECEIVED_MAX);
    receiver->requests[receiver->count++] = request;
    pthread_mutex_unlock(&receiver->lock);
    if (text != NULL && write(connection, text, strlen(text)) < 0)
        return; /* the sender has gone */
}

static void *
receiver_main(void *context)
{
    struct receiver *receiver = context;
    int connection;

    while ((connection = accept(receiver->listener, NULL, NULL)) >= 0) {
        answer(receiver, connection);
        close(connection);
    }
    return NULL;
}

void
receiver_open(struct receiver *receiver)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof address;

    memset(receiver, 0, sizeof *receiver);
    pthread_mutex_init(&receiver->lock, NULL);
    receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(receiver->listener, (struct sockaddr *)&address, bytes), 0);
    ck_assert_int_eq(listen(receiver->listener, 16), 0);
    ck_assert_int_eq(getsockname(receiver->listener, (struct sockaddr *)&address, &bytes), 0);
    receiver->port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&receiver->thread, NULL, receiver_main, receiver), 0);
}

void
receiver_close(struct receiver *receiver)
{
    shutdown(receiver->listener, SHUT_RDWR);
    pthread_join(receiver->thread, NULL);
    close(receiver->listener);
    pthread_mutex_destroy(&receiver->lock);
}

void
receiver_answer(struct receiver *receiver, const char *text)
{
    pthread_mutex_lock(&receiver->lock);
    receiver->answers[receiver->answer_count++] = text;
    pthread_mutex_unlock(&receiver->lock);
}

size_t
receiver_count(struct receiver *receiver)
{
    size_t count;

    pthread_mutex_lock(&receiver->lock);
    count = receiver->count;
    pthread_mutex_unlock(&receiver->lock);
    return count;
}
