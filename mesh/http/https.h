/* https.h -- Certificates of HTTP servers that speak TLS: pairs of files, chosen by the name that a client asks for.
 *
 * TLS 1.2 and 1.3, http/1.1 alone by ALPN: a client that offers other protocols only is refused in the handshake. The
 * first pair is for clients that name no host, or one that no certificate has. Pairs whose files changed are read again
 * (mesh/observe/file_watch.h); one that does not fit leaves the old one in use.
 *
 * Thread    https_open, https_close: main. https_begin: any.
 * Memory    The settings' texts must live until https_close(); a set outlives the servers that have it.
 * Errors    A flag that is missing beside another, a file that cannot be read, a key that is not the certificate's are
 *           logged with the flag and the rule: ERR_BAD_REQUEST.
 * Units     *_seconds seconds.
 */
#ifndef MESH_HTTP_HTTPS_H
#define MESH_HTTP_HTTPS_H

#include "mesh/base/config.h"
#include "mesh/base/error.h"

#include <openssl/types.h>

struct file_watch;
struct https;
struct metrics;

struct https_settings {
    const char *cert, *key; /* paths of PEM files, several with commas; "" both: plain HTTP */
    int64_t hsts_seconds;
};

extern const struct config_key https_keys[]; /* of struct https_settings */

/* *ret_https is NULL where HTTP is plain. metrics: shows when certificates expire; may be NULL. files NULL: they are
 * never read again. */
enum error https_open(const struct https_settings *settings, struct metrics *metrics,
                      struct file_watch *files, struct https **ret_https);

/* NULL is fine. Returns NULL. */
struct https *https_close(struct https *https);

/* A connection's, with the certificates as they are now. NULL: no memory. */
SSL *https_begin(struct https *https);

int64_t https_hsts_seconds(const struct https *https);

#endif
