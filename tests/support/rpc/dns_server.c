#include "tests/support/rpc/dns_server.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_BYTES = 12, TYPE_A = 1, TYPE_AAAA = 28, NXDOMAIN = 3, MESSAGE_BYTES = 512 };

/* Of the question: where it ends, and its type. 0: it cannot be read. */
static size_t
question_end(const uint8_t *message, size_t bytes, int *ret_type)
{
    size_t at = HEAD_BYTES;

    while (at < bytes && message[at] != 0)
        at += 1U + message[at];
    if (at + 5 > bytes)
        return 0;
    *ret_type = message[at + 1] << 8 | message[at + 2];
    return at + 5;
}

/* A record of the name that was asked, with no time to live. */
static size_t
record_put(uint8_t *at, int type, const void *data, size_t bytes)
{
    const uint8_t head[] = {
        0xc0, HEAD_BYTES, 0, (uint8_t)type, 0, 1, 0, 0, 0, 0, 0, (uint8_t)bytes
    };

    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, data, bytes);
    return sizeof head + bytes;
}

static size_t
records_put(struct dns_server *dns, int type, uint8_t *at, uint8_t *ret_count)
{
    char addresses[sizeof dns->addresses], *rest = NULL;
    size_t bytes = 0;

    pthread_mutex_lock(&dns->lock);
    memcpy(addresses, dns->addresses, sizeof addresses);
    pthread_mutex_unlock(&dns->lock);
    for (char *text = strtok_r(addresses, " ", &rest); text != NULL;
         text = strtok_r(NULL, " ", &rest)) {
        int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
        uint8_t data[16];

        ck_assert_int_eq(inet_pton(family, text, data), 1);
        if (type != (family == AF_INET6 ? TYPE_AAAA : TYPE_A))
            continue;
        bytes += record_put(at + bytes, type, data, family == AF_INET6 ? 16 : 4);
        ++*ret_count;
    }
    return bytes;
}

static void
answer(struct dns_server *dns, uint8_t *message, size_t bytes, const struct sockaddr_in *asker)
{
    enum dns_manner manner = (enum dns_manner)atomic_load(&dns->manner);
    size_t end;
    int type;

    if (bytes < HEAD_BYTES || (end = question_end(message, bytes, &type)) == 0)
        return;
    atomic_fetch_add(&dns->asked, type == TYPE_A);
    if (manner == DNS_SILENT)
        return;
    poll(NULL, 0, atomic_load(&dns->late_ms));
    message[2] = 0x84; /* an answer, of authority */
    message[3] = manner == DNS_NO_SUCH_NAME ? NXDOMAIN : 0;
    memset(message + 6, 0, 6); /* no records */
    if (manner == DNS_ANSWERS)
        end += records_put(dns, type, message + end, &message[7]);
    (void)sendto(dns->fd, message, end, 0, (const struct sockaddr *)asker, sizeof *asker);
}

/* A message without a byte ends it. */
static void *
serve(void *argument)
{
    struct dns_server *dns = argument;
    uint8_t message[2 * MESSAGE_BYTES];

    for (;;) {
        struct sockaddr_in asker;
        socklen_t length = sizeof asker;
        ssize_t bytes =
            recvfrom(dns->fd, message, MESSAGE_BYTES, 0, (struct sockaddr *)&asker, &length);

        if (bytes == 0)
            return NULL;
        if (bytes > 0)
            answer(dns, message, (size_t)bytes, &asker);
    }
}

void
dns_open(struct dns_server *dns, const char *addresses)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;

    memset(dns, 0, sizeof *dns);
    pthread_mutex_init(&dns->lock, NULL);
    dns_set(dns, addresses);
    dns->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(dns->fd, (const struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(getsockname(dns->fd, (struct sockaddr *)&address, &length), 0);
    snprintf(dns->address, sizeof dns->address, "127.0.0.1:%d", ntohs(address.sin_port));
    ck_assert_int_eq(pthread_create(&dns->thread, NULL, serve, dns), 0);
}

void
dns_set(struct dns_server *dns, const char *addresses)
{
    pthread_mutex_lock(&dns->lock);
    snprintf(dns->addresses, sizeof dns->addresses, "%s", addresses);
    pthread_mutex_unlock(&dns->lock);
}

void
dns_close(struct dns_server *dns)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;

    ck_assert_int_eq(getsockname(dns->fd, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_eq(sendto(dns->fd, "", 0, 0, (const struct sockaddr *)&address, length), 0);
    pthread_join(dns->thread, NULL);
    close(dns->fd);
    pthread_mutex_destroy(&dns->lock);
}
