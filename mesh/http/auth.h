/* auth.h -- Who is asking: bearer tokens (JWT, RFC 7519) checked against a set of keys.
 *
 * A key has one algorithm, by its kind: oct HS256, RSA RS256, P-256 ES256. A token is checked by the
 * key that its header names and only if its header names that key's algorithm too, so neither "none"
 * nor a public key used as a secret gets through.
 *
 * Thread    auth_check, auth_admit: any, at once; a set does not change. A gate looks at the set that is current
 *           (mesh/base/current.h): another may take its place at any time.
 * Memory    The set is the caller's to free.
 * Errors    auth_open: ERR_BAD_REQUEST, the problem says which key and why.
 * Units     *_us microseconds since 1970 UTC.
 */
#ifndef MESH_HTTP_AUTH_H
#define MESH_HTTP_AUTH_H

#include "mesh/base/check.h"
#include "mesh/http/route.h"

#include <stddef.h>
#include <stdint.h>

enum {
    AUTH_KEYS_MAX = 32,
    AUTH_TOKEN_BYTES_MAX = 8192,
    AUTH_LEEWAY_SECONDS = 60, /* how far two machines' clocks may be apart */
};

struct auth;
struct current;
struct file_reads;

struct principal {
    char customer_id[CUSTOMER_ID_BYTES_MAX + 1]; /* sub */
    bool is_operator;                            /* "operator" is in its scope */
};

/* A JWK set (RFC 7517), as text. */
enum error auth_open(const char *jwks, size_t bytes, struct problem *problem,
                     struct auth **ret_auth);
/* reads: of the one who watches the file (file_watch.h); or NULL. */
enum error auth_open_file(const char *path, struct file_reads *reads, struct problem *problem,
                          struct auth **ret_auth);
struct auth *auth_free(struct auth *auth);
void auth_free_value(void *auth); /* the same, for a struct current */

/* From now on a token's iss must be issuer and its aud, a text or a list, have audience; "": whatever it
 * says. The texts must live as long as the set. */
void auth_expect(struct auth *auth, const char *issuer, const char *audience);

struct auth_refusal {
    const char *because; /* a literal */
    bool is_by_time; /* the token is good, and now is not within its times: or now_us is wrong */
};

/* authorization is the header, or "". False: *ret_refusal says why. */
bool auth_check(const struct auth *auth, const char *authorization, int64_t now_us,
                struct principal *ret_principal, struct auth_refusal *ret_refusal);

/* A gate's admit(), with such a gate: 401, or 503 for what only its times are against while this machine's time
 * is in doubt. The handler finds its struct principal in exchange->admitted. */
struct auth_gate {
    struct current *auths;             /* its values are struct auth; there is one already */
    bool (*is_time_sure)(void *owner); /* NULL: it is */
    void *owner;
};

bool auth_admit(void *gate, struct http_exchange *exchange, struct http_problem *ret_problem);

#endif
