/* A connection for each question, which the server closes. */
#include "tests/support/http/http_ask.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *
http_ask(int port, const char *path, const char *headers)
{
    static char text[HTTP_ASK_BYTES];
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t bytes = 0;
    ssize_t got;

    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n%s\r\n",
             path, headers);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    while ((got = read(fd, text + bytes, sizeof text - 1 - bytes)) > 0)
        bytes += (size_t)got;
    ck_assert_int_eq(got, 0);
    text[bytes] = '\0';
    close(fd);
    return text;
}
