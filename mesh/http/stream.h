/* stream.h -- The bytes of one connection, plain or TLS: a descriptor that does not block, with or without a session.
 *
 * With TLS, reading may have to wait until the socket takes bytes, and so says which of the two it waits for. Bytes that
 * the session has read and not handed out would be known to no epoll, so it reads a record at a time, and a reader
 * brings room for a whole one.
 *
 * Thread    The loop's that has the connection.
 * Errors    STREAM_GONE: the connection is good for nothing any more.
 */
#ifndef MESH_HTTP_STREAM_H
#define MESH_HTTP_STREAM_H

#include "mesh/http/https.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum { STREAM_READ_BYTES_MIN = 16 * 1024 };

enum stream_outcome { STREAM_DONE, STREAM_WANTS_READ, STREAM_WANTS_WRITE, STREAM_GONE };

struct stream {
    int fd;
    SSL *ssl; /* NULL: plain */
};

/* https NULL: plain. False: no memory; the descriptor stays the caller's. */
bool stream_open(struct stream *stream, int fd, struct https *https);

/* The handshake, of TLS alone. GONE: *ret_because says why; NULL: the client left without a word. */
enum stream_outcome stream_shake(struct stream *stream, const char **ret_because);

/* bytes has STREAM_READ_BYTES_MIN of room. DONE with a count of 0: the peer says nothing more. */
enum stream_outcome stream_read(struct stream *stream, void *bytes, size_t size, size_t *ret_count);

/* Some of the parts. After WANTS_WRITE the next call must begin with the same bytes. */
enum stream_outcome stream_send(struct stream *stream, const struct iovec *parts, size_t count,
                                size_t *ret_sent);

/* We say nothing more; what the peer still says may be dropped by stream_drop(). */
void stream_say_end(struct stream *stream);
enum stream_outcome stream_drop(struct stream *stream, void *bytes, size_t size, size_t *ret_count);

void stream_close(struct stream *stream); /* says the end of TLS, if it can be said at once */

#endif
