/* tls.h -- The process's identity on gRPC: a certificate of the mesh's CA, shown to all and asked of all.
 *
 * Once it is on, every server and client of gRPC speaks TLS 1.3 with certificates on both sides. An identity is the one
 * URI in a certificate's subjectAltName, spiffe://DOMAIN/PATH; a peer must be of our DOMAIN and of our CA, whatever its
 * host is called. The files are watched (file_watch.h): who replaces them needs no restart, and connections that are
 * there stay. Files that do not parse, do not fit together, have expired or are of another CA leave the ones before in
 * use. A process has one identity; that is why it is in one place, and no option of each client.
 *
 * Thread    rpc_tls_open before the first server or client, rpc_tls_close after the last one: main. The others: any.
 * Memory    The settings' texts must live until rpc_tls_close().
 * Errors    A flag that is missing beside another one, a file that cannot be read, a certificate that is none of the key
 *           or of the CA, is not valid now, or has no such URI is logged with the flag and the rule: ERR_BAD_REQUEST.
 */
#ifndef MESH_RPC_TLS_H
#define MESH_RPC_TLS_H

#include "mesh/base/config.h"
#include "mesh/base/error.h"

#include <grpc/grpc_security.h>
#include <stdbool.h>

struct file_watch;
struct metrics;

struct rpc_tls_settings {
    const char *cert, *key, *ca; /* paths of PEM files; "" all three: plain */
};

extern const struct config_key rpc_tls_keys[]; /* of struct rpc_tls_settings */

/* metrics: shows when the certificate expires; NULL: nothing is shown. files NULL: they are read once. */
enum error rpc_tls_open(const struct rpc_tls_settings *settings, struct metrics *metrics,
                        struct file_watch *files);
void rpc_tls_close(void);

bool rpc_tls_is_on(void);
const char *rpc_tls_domain(void); /* "shop.example"; "" while it is off */

/* Plain ones while it is off. The caller releases them. */
grpc_channel_credentials *rpc_tls_channel_credentials(void);
grpc_server_credentials *rpc_tls_server_credentials(void);

/* A server that speaks TLS gets its connections from our acceptor, as a plain one does: the argument makes the core set
 * *handler when the server gets its port of this name, and rpc_tls_take() gives it a connection. */
#define RPC_TLS_PORT "external:mesh"
void rpc_tls_argument(void **handler, grpc_arg *ret_argument);
void rpc_tls_take(void *handler, int fd);

/* Whether what listens there answers a handshake, for the probe of a program's own port. Takes the connection's
 * descriptor, which stays the caller's. ERR_UNREACHABLE: nothing came until then. ERR_BUSY: it cannot be asked. */
enum error rpc_tls_probe(int fd, int64_t until_us);

#endif
