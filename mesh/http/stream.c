/* stream.c -- recv and sendmsg, or the same of OpenSSL.
 *
 * After an error of the protocol OpenSSL must not be asked to say a farewell: such a session is made quiet. */
#include "mesh/http/stream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool
stream_open(struct stream *stream, int fd, struct https *https)
{
    *stream = (struct stream){ .fd = fd };
    if (https == NULL)
        return true;
    stream->ssl = https_begin(https);
    if (stream->ssl == NULL || SSL_set_fd(stream->ssl, fd) != 1) {
        SSL_free(stream->ssl);
        stream->ssl = NULL;
        return false;
    }
    SSL_set_accept_state(stream->ssl);
    return true;
}

/* What a call that did not succeed has left. */
static enum stream_outcome
tls_outcome(struct stream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STREAM_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_DONE;
    default:
        SSL_set_quiet_shutdown(stream->ssl, 1);
        return STREAM_GONE;
    }
}

enum stream_outcome
stream_shake(struct stream *stream, const char **ret_because)
{
    enum stream_outcome outcome;
    unsigned long error;
    int result;

    ERR_clear_error();
    result = SSL_accept(stream->ssl);
    if (result == 1)
        return STREAM_DONE;
    outcome = tls_outcome(stream, result);
    if (outcome != STREAM_GONE && outcome != STREAM_DONE)
        return outcome;
    SSL_set_quiet_shutdown(stream->ssl, 1);
    error = ERR_peek_error();
    *ret_because = NULL;
    if (error != 0)
        *ret_because = ERR_reason_error_string(error);
    else if (BIO_number_read(SSL_get_rbio(stream->ssl)) > 0)
        *ret_because = "the client left";
    return STREAM_GONE;
}

static enum stream_outcome
plain_outcome(void)
{
    return errno == EAGAIN || errno == EINTR ? STREAM_WANTS_READ : STREAM_GONE;
}

enum stream_outcome
stream_drop(struct stream *stream, void *bytes, size_t size, size_t *ret_count)
{
    ssize_t count = recv(stream->fd, bytes, size, 0);

    if (count < 0)
        return plain_outcome();
    *ret_count = (size_t)count;
    return STREAM_DONE;
}

enum stream_outcome
stream_read(struct stream *stream, void *bytes, size_t size, size_t *ret_count)
{
    int result;

    if (stream->ssl == NULL)
        return stream_drop(stream, bytes, size, ret_count);
    ERR_clear_error();
    result = SSL_read(stream->ssl, bytes, (int)size);
    *ret_count = result > 0 ? (size_t)result : 0;
    return result > 0 ? STREAM_DONE : tls_outcome(stream, result);
}

static enum stream_outcome
plain_send(struct stream *stream, const struct iovec *parts, size_t count, size_t *ret_sent)
{
    struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
    ssize_t sent;

    do
        sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? STREAM_WANTS_WRITE : STREAM_GONE;
    *ret_sent = (size_t)sent;
    return STREAM_DONE;
}

/* The parts as one record: each record costs a call and some thirty bytes. Without renegotiation no record of ours waits
 * for one of the peer's. */
static enum stream_outcome
tls_send(struct stream *stream, const struct iovec *parts, size_t count, size_t *ret_sent)
{
    char record[SSL3_RT_MAX_PLAIN_LENGTH];
    enum stream_outcome outcome;
    size_t bytes = 0;
    int result;

    for (size_t i = 0; i < count && bytes < sizeof record; i++) {
        size_t room = sizeof record - bytes;
        size_t more = parts[i].iov_len < room ? parts[i].iov_len : room;

        memcpy(record + bytes, parts[i].iov_base, more);
        bytes += more;
    }
    ERR_clear_error();
    result = SSL_write(stream->ssl, record, (int)bytes);
    *ret_sent = result > 0 ? (size_t)result : 0;
    if (result > 0)
        return STREAM_DONE;
    outcome = tls_outcome(stream, result);
    return outcome == STREAM_WANTS_WRITE ? outcome : STREAM_GONE;
}

enum stream_outcome
stream_send(struct stream *stream, const struct iovec *parts, size_t count, size_t *ret_sent)
{
    return stream->ssl == NULL ? plain_send(stream, parts, count, ret_sent)
                               : tls_send(stream, parts, count, ret_sent);
}

/* It is said if the socket takes it now: the end of the connection follows anyway. */
static void
tls_say_end(struct stream *stream)
{
    if (stream->ssl == NULL || !SSL_is_init_finished(stream->ssl))
        return;
    ERR_clear_error();
    SSL_shutdown(stream->ssl);
    ERR_clear_error();
}

void
stream_say_end(struct stream *stream)
{
    tls_say_end(stream);
    shutdown(stream->fd, SHUT_WR);
}

void
stream_close(struct stream *stream)
{
    tls_say_end(stream);
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    close(stream->fd);
}
