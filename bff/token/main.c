/* main.c -- bff-token: a bearer token for the sandbox, signed with a key of its own.
 *
 * The key is a file of mode 0600, a JWK set with one secret, made when it is not there. Where tokens
 * come from elsewhere, bff gets the public keys of that place and this program is not needed.
 */
#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/config.h"
#include "mesh/base/json.h"
#include "mesh/base/random.h"

#include <cjose/cjose.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECRET_BYTES = 32, FILE_BYTES_MAX = 65536 };

struct settings {
    const char *jwks, *issuer, *audience, *out;
    int64_t seconds;
    bool is_operator, only_key;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "jwks",     CONFIG_TEXT, NULL,    0, 0,               "file with the key; made when it is not there", offsetof(struct settings, jwks) },
    { "issuer",   CONFIG_TEXT, "sagamesh-sandbox", 0, 0,    "iss; bff's --token-issuer", offsetof(struct settings, issuer) },
    { "audience", CONFIG_TEXT, "sagamesh-bff", 0, 0,        "aud; bff's --token-audience", offsetof(struct settings, audience) },
    { "seconds",  CONFIG_INT,  "86400", 1, 10 * 365 * 86400, "how long the token is good for", offsetof(struct settings, seconds) },
    { "out",      CONFIG_TEXT, "",      0, 0,               "file to write the token into; empty: standard output", offsetof(struct settings, out) },
    { "operator", CONFIG_FLAG, NULL,    0, 0,               "with the scope operator, which sees all", offsetof(struct settings, is_operator) },
    { "only-key", CONFIG_FLAG, NULL,    0, 0,               "make the key if need be, and no token", offsetof(struct settings, only_key) },
    { 0 },
};
/* clang-format on */

static int
fail(const char *what, const char *path)
{
    fprintf(stderr, "bff-token: %s: %s: %s\n", path, what, strerror(errno));
    return 1;
}

/* Complete when it appears: a link to a file that was written before. Of two at once, one stays. */
static int
key_make(const char *path)
{
    uint8_t secret[SECRET_BYTES];
    char temporary[4096], *text = NULL;
    size_t bytes;
    cjose_err error;
    int fd;
    FILE *file;

    if (access(path, R_OK) == 0)
        return 0;
    random_bytes(secret, sizeof secret);
    if (!cjose_base64url_encode(secret, sizeof secret, &text, &bytes, &error))
        return fail("the key cannot be made", path);
    snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return fail("cannot be made", temporary);
    fprintf(file,
            "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"use\":\"sig\",\"kid\":\"sandbox\","
            "\"k\":\"%.*s\"}]}\n",
            (int)bytes, text);
    cjose_get_dealloc()(text);
    if (fclose(file) != 0 || (link(temporary, path) != 0 && errno != EEXIST))
        return fail("cannot be written", path);
    unlink(temporary);
    return 0;
}

/* The first key of the set. */
static json_t *
key_read(const char *path)
{
    char *text = memory_take(FILE_BYTES_MAX);
    FILE *file = fopen(path, "r");
    struct problem problem;
    json_t *set = NULL, *key;
    size_t bytes = 0;

    if (file != NULL) {
        bytes = fread(text, 1, FILE_BYTES_MAX, file);
        fclose(file);
    }
    if (json_read(text, bytes, path, &problem, &set) != ERR_OK)
        set = NULL;
    free(text);
    key = json_incref(json_array_get(json_object_get(set, "keys"), 0));
    json_decref(set);
    return key;
}

static char *
claims_print(const struct settings *settings, const char *subject)
{
    int64_t now = clock_now_us() / SECOND_US;
    struct json_writer json = { 0 };

    json_open_object(&json, NULL);
    json_put_text(&json, "iss", settings->issuer);
    json_put_text(&json, "aud", settings->audience);
    json_put_text(&json, "sub", subject);
    json_put_int(&json, "iat", now);
    json_put_int(&json, "exp", now + settings->seconds);
    if (settings->is_operator)
        json_put_text(&json, "scope", "operator");
    json_close_object(&json);
    return json.text;
}

/* To standard output, or into a file that only its owner can read. */
static int
token_write(const char *path, const char *token)
{
    int fd;
    FILE *file;

    if (path[0] == '\0')
        return printf("%s\n", token) > 0 ? 0 : 1;
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return fail("cannot be made", path);
    fprintf(file, "%s\n", token);
    return fclose(file) == 0 ? 0 : fail("cannot be written", path);
}

static int
token_print(const struct settings *settings, const char *subject)
{
    json_t *key = key_read(settings->jwks);
    char *key_text = key == NULL ? NULL : json_dumps(key, JSON_COMPACT);
    const char *kid = json_string_value(json_object_get(key, "kid")), *token;
    char *claims = claims_print(settings, subject);
    cjose_err error;
    cjose_header_t *header = cjose_header_new(&error);
    cjose_jwk_t *jwk =
        key_text == NULL ? NULL : cjose_jwk_import(key_text, strlen(key_text), &error);
    cjose_jws_t *jws = NULL;
    int status = 1;

    if (jwk != NULL && cjose_header_set(header, CJOSE_HDR_ALG, "HS256", &error) &&
        cjose_header_set(header, "typ", "JWT", &error) &&
        cjose_header_set(header, CJOSE_HDR_KID, kid == NULL ? "" : kid, &error))
        jws = cjose_jws_sign(jwk, header, (const uint8_t *)claims, strlen(claims), &error);
    if (jws != NULL && cjose_jws_export(jws, &token, &error))
        status = token_write(settings->out, token);
    else
        fprintf(stderr, "bff-token: %s has no key to sign with\n", settings->jwks);
    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
    cjose_header_release(header);
    free(claims);
    free(key_text);
    json_decref(key);
    return status;
}

int
main(int argc, char **argv)
{
    struct settings settings = { 0 };
    const struct config_table table = { keys, &settings };
    int count =
        config_read(argc, argv, "bff-token --jwks=FILE [CUSTOMER]: a bearer token", &table, 1);

    if (count > 1) {
        fprintf(stderr, "bff-token: one customer only\n");
        return 2;
    }
    if (key_make(settings.jwks) != 0)
        return 1;
    if (settings.only_key)
        return 0;
    return token_print(&settings,
                       count == 1 ? argv[0] : (settings.is_operator ? "operator" : "demo"));
}
