/* auth.c -- A set of keys, each with one algorithm. A token is checked step by step, and the first rule that it
 * breaks is the answer:
 *
 *     shape -> key and algorithm -> signature -> issuer, audience -> sub and times that are well formed
 *     -> the times themselves, last: a refusal by them alone may be this machine's clock's fault
 */
#include "mesh/http/auth.h"
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/current.h"
#include "mesh/base/json.h"
#include "mesh/http/server.h"
#include "mesh/observe/file_watch.h"

#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    FILE_BYTES_MAX = 256 * 1024,
    SECRET_TEXT_BYTES_MIN = 43,   /* base64url of 32 bytes, what HS256 needs (RFC 7518, 3.2) */
    MODULUS_TEXT_BYTES_MIN = 342, /* base64url of 2,048 bits (3.3) */
};

struct auth_key {
    const char *kid, *algorithm; /* of the set's JSON, and a literal */
    cjose_jwk_t *jwk;
};

struct auth {
    json_t *json;
    struct auth_key keys[AUTH_KEYS_MAX];
    size_t count;
    const char *issuer, *audience; /* "": any */
};

/* What a key of this kind is for, and the member that must not be too short. */
/* clang-format off */
static const struct {
    const char *kind, *curve, *algorithm, *member;
    size_t text_bytes_min;
} kinds[] = {
    { "oct", NULL,    "HS256", "k", SECRET_TEXT_BYTES_MIN },
    { "RSA", NULL,    "RS256", "n", MODULUS_TEXT_BYTES_MIN },
    { "EC",  "P-256", "ES256", "x", 0 },
};
/* clang-format on */

/* ---- the keys ---- */

static const char *
text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

/* The one algorithm that tokens of this key may have; NULL: it is no kind of ours, or too short. */
static const char *
key_algorithm(const json_t *json)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(text_of(json, "kty"), kinds[i].kind) != 0 ||
            (kinds[i].curve != NULL && strcmp(text_of(json, "crv"), kinds[i].curve) != 0))
            continue;
        return strlen(text_of(json, kinds[i].member)) < kinds[i].text_bytes_min
                   ? NULL
                   : kinds[i].algorithm;
    }
    return NULL;
}

static enum error
key_add(struct auth *auth, const json_t *json, size_t index, struct problem *problem)
{
    struct auth_key *key = &auth->keys[auth->count];
    char field[32], *text;
    cjose_err error;

    snprintf(field, sizeof field, "/keys/%zu", index);
    key->algorithm = key_algorithm(json);
    key->kid = text_of(json, "kid");
    if (key->algorithm == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field,
                           "must be an oct key of 256 bits or more, an RSA key of 2,048 or more, "
                           "or an EC key on P-256");
    if (json_object_get(json, "alg") != NULL && strcmp(text_of(json, "alg"), key->algorithm) != 0)
        return problem_set(problem, ERR_BAD_REQUEST, field, "alg must be %s for such a key",
                           key->algorithm);
    for (size_t i = 0; i < auth->count; i++) {
        if (strcmp(auth->keys[i].kid, key->kid) == 0)
            return problem_set(problem, ERR_BAD_REQUEST, field,
                               "kid must be another one for each key");
    }
    text = json_dumps(json, JSON_COMPACT);
    key->jwk = text == NULL ? NULL : cjose_jwk_import(text, strlen(text), &error);
    free(text);
    if (key->jwk == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, field, "is no sound key");
    auth->count++;
    return ERR_OK;
}

/* Keys for other uses than signing (RFC 7517, 4.2) are passed over. */
static enum error
keys_add(struct auth *auth, struct problem *problem)
{
    const json_t *keys = json_object_get(auth->json, "keys");
    size_t count = json_array_size(keys);
    enum error error = ERR_OK;

    if (count == 0 || count > AUTH_KEYS_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "/keys", "must be a list of 1 to %d keys",
                           AUTH_KEYS_MAX);
    for (size_t i = 0; error == ERR_OK && i < count; i++) {
        const json_t *key = json_array_get(keys, i);
        const char *use = text_of(key, "use");

        if (use[0] == '\0' || strcmp(use, "sig") == 0)
            error = key_add(auth, key, i, problem);
    }
    return error;
}

enum error
auth_open(const char *jwks, size_t bytes, struct problem *problem, struct auth **ret_auth)
{
    struct auth *auth = memory_take(sizeof *auth);
    enum error error = json_read(jwks, bytes, "", problem, &auth->json);

    auth_expect(auth, "", "");
    if (error == ERR_OK)
        error = keys_add(auth, problem);
    if (error == ERR_OK)
        *ret_auth = auth;
    else
        auth_free(auth);
    return error;
}

enum error
auth_open_file(const char *path, struct file_reads *reads, struct problem *problem,
               struct auth **ret_auth)
{
    struct arena *arena = arena_new();
    const char *text = file_reads_text(reads, path, FILE_BYTES_MAX, arena);
    enum error error =
        text == NULL ? problem_set(problem, ERR_BAD_REQUEST, "jwks",
                                   "cannot be read, or is larger than %d bytes", FILE_BYTES_MAX)
                     : auth_open(text, strlen(text), problem, ret_auth);

    arena_free(arena);
    return error;
}

void
auth_free_value(void *auth)
{
    auth_free(auth);
}

struct auth *
auth_free(struct auth *auth)
{
    if (auth == NULL)
        return NULL;
    for (size_t i = 0; i < auth->count; i++)
        cjose_jwk_release(auth->keys[i].jwk);
    json_decref(auth->json);
    free(auth);
    return NULL;
}

void
auth_expect(struct auth *auth, const char *issuer, const char *audience)
{
    auth->issuer = issuer;
    auth->audience = audience;
}

/* ---- a token ---- */

/* Without a kid, the set must have one key only. */
static const struct auth_key *
key_find(const struct auth *auth, const char *kid)
{
    if (kid == NULL)
        return auth->count == 1 ? &auth->keys[0] : NULL;
    for (size_t i = 0; i < auth->count; i++) {
        if (strcmp(auth->keys[i].kid, kid) == 0)
            return &auth->keys[i];
    }
    return NULL;
}

/* NULL: it is good. "crit" is refused with any name in it: no extension is understood here (RFC 7515, 4.1.11). */
static const char *
check_signature(const struct auth *auth, cjose_jws_t *jws)
{
    cjose_header_t *header = cjose_jws_get_protected(jws);
    cjose_err error;
    const char *algorithm = cjose_header_get(header, CJOSE_HDR_ALG, &error);
    const struct auth_key *key = key_find(auth, cjose_header_get(header, CJOSE_HDR_KID, &error));
    char *critical = cjose_header_get_raw(header, "crit", &error);

    if (critical != NULL) {
        cjose_get_dealloc()(critical);
        return "the token demands an extension that is not understood";
    }
    if (key == NULL)
        return "the token's key is not known";
    if (algorithm == NULL || strcmp(algorithm, key->algorithm) != 0)
        return "the token's algorithm is not its key's";
    return cjose_jws_verify(jws, key->jwk, &error) ? NULL : "the token's signature is wrong";
}

static bool
scope_has(const char *scope, const char *word)
{
    size_t bytes = strlen(word);

    while (*scope != '\0') {
        size_t length = strcspn(scope, " ");

        if (length == bytes && strncmp(scope, word, bytes) == 0)
            return true;
        scope += length;
        scope += strspn(scope, " ");
    }
    return false;
}

/* NumericDate (RFC 7519, 2) may have a fraction, which does not matter here. */
static bool
time_of(const json_t *claims, const char *name, double *ret_seconds)
{
    const json_t *value = json_object_get(claims, name);

    if (!json_is_number(value))
        return false;
    *ret_seconds = json_number_value(value);
    return true;
}

static bool
is_malformed_time(const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);

    return value != NULL && !json_is_number(value);
}

/* RFC 7519, 4.1.3: a text, or a list of texts. */
static bool
audience_has(const json_t *claim, const char *audience)
{
    if (json_is_string(claim))
        return strcmp(json_string_value(claim), audience) == 0;
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const char *text = json_string_value(json_array_get(claim, i));

        if (text != NULL && strcmp(text, audience) == 0)
            return true;
    }
    return false;
}

static const char *
check_parties(const struct auth *auth, const json_t *claims)
{
    if (auth->issuer[0] != '\0' && strcmp(text_of(claims, "iss"), auth->issuer) != 0)
        return "the token is of another issuer";
    if (auth->audience[0] != '\0' && !audience_has(json_object_get(claims, "aud"), auth->audience))
        return "the token is for another audience";
    return NULL;
}

static const char *
check_claims(const json_t *claims, struct principal *principal)
{
    const char *subject = text_of(claims, "sub");
    struct problem problem;
    double seconds;

    if (!time_of(claims, "exp", &seconds))
        return "the token has no exp";
    if (is_malformed_time(claims, "nbf") || is_malformed_time(claims, "iat"))
        return "the token's nbf or iat is no number";
    if (check_customer(&problem, "sub", subject) != ERR_OK)
        return "the token's sub is no customer id";
    snprintf(principal->customer_id, sizeof principal->customer_id, "%s", subject);
    principal->is_operator = scope_has(text_of(claims, "scope"), "operator");
    return NULL;
}

/* Of claims that are sound. */
static const char *
check_times(const json_t *claims, int64_t now_us)
{
    double now_seconds = (double)(now_us / SECOND_US), seconds;

    if (time_of(claims, "exp", &seconds) && seconds + AUTH_LEEWAY_SECONDS <= now_seconds)
        return "the token has expired";
    if (time_of(claims, "nbf", &seconds) && seconds - AUTH_LEEWAY_SECONDS > now_seconds)
        return "the token is not valid yet";
    if (time_of(claims, "iat", &seconds) && seconds - AUTH_LEEWAY_SECONDS > now_seconds)
        return "the token was issued in the future";
    return NULL;
}

static struct auth_refusal
check_payload(const struct auth *auth, cjose_jws_t *jws, int64_t now_us,
              struct principal *principal)
{
    struct auth_refusal refusal = { "the token's claims are no JSON", false };
    struct problem problem;
    json_t *claims;
    uint8_t *text;
    size_t bytes;
    cjose_err error;

    if (!cjose_jws_get_plaintext(jws, &text, &bytes, &error) ||
        json_read((const char *)text, bytes, "", &problem, &claims) != ERR_OK)
        return refusal;
    refusal.because = json_is_object(claims) ? check_parties(auth, claims)
                                             : "the token's claims are no JSON object";
    if (refusal.because == NULL)
        refusal.because = check_claims(claims, principal);
    if (refusal.because == NULL) {
        refusal.because = check_times(claims, now_us);
        refusal.is_by_time = refusal.because != NULL;
    }
    json_decref(claims);
    return refusal;
}

bool
auth_check(const struct auth *auth, const char *authorization, int64_t now_us,
           struct principal *ret_principal, struct auth_refusal *ret_refusal)
{
    struct principal principal = { 0 };
    cjose_jws_t *jws;
    cjose_err error;
    const char *token = authorization + strlen("Bearer ");

    *ret_refusal = (struct auth_refusal){ "a bearer token is required", false };
    if (strncasecmp(authorization, "Bearer ", strlen("Bearer ")) != 0)
        return false;
    token += strspn(token, " ");
    ret_refusal->because = "the token is malformed";
    if (token[0] == '\0' || strlen(token) > AUTH_TOKEN_BYTES_MAX)
        return false;
    jws = cjose_jws_import(token, strlen(token), &error);
    if (jws == NULL)
        return false;
    ret_refusal->because = check_signature(auth, jws);
    if (ret_refusal->because == NULL)
        *ret_refusal = check_payload(auth, jws, now_us, &principal);
    cjose_jws_release(jws);
    if (ret_refusal->because == NULL)
        *ret_principal = principal;
    return ret_refusal->because == NULL;
}

bool
auth_admit(void *owner, struct http_exchange *exchange, struct http_problem *ret_problem)
{
    static const char *const challenge[] = { "WWW-Authenticate: Bearer", NULL };
    const struct auth_gate *gate = owner;
    struct principal *principal = arena_take(exchange->arena, sizeof *principal);
    struct auth_refusal refusal;
    /* Asked before the time is read: then that is right. */
    bool is_sure = gate->is_time_sure == NULL || gate->is_time_sure(gate->owner);
    struct current_view view = { 0 };
    bool is_good = auth_check(current_look(gate->auths, &view),
                              http_header_find(exchange->request, "authorization"), clock_now_us(),
                              principal, &refusal);

    current_end(gate->auths, &view);
    exchange->admitted = principal;
    if (is_good)
        return true;
    *ret_problem = (struct http_problem){
        .status = 401, .code = "UNAUTHENTICATED", .detail = refusal.because, .headers = challenge
    };
    if (refusal.is_by_time && !is_sure)
        *ret_problem = (struct http_problem){
            .status = 503,
            .code = "UNAVAILABLE",
            .detail = "no other clock could be asked yet what time it is; ask again",
        };
    return false;
}
