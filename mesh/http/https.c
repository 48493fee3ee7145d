/* https.c -- A context for each pair of files; a new one takes the place of the old, which lives on in its connections.
 *
 * What a stranger may cost is bounded here: no renegotiation, no session kept (tickets hold them at the client), buffers
 * given back while a connection is silent, and one record a call, so that endless empty messages do not hold the loop.
 */
#include "mesh/http/https.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/pem.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/metrics.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAIRS_MAX = 16, PATH_BYTES = 1024, PEM_BYTES_MAX = 1 << 20, YEAR_SECONDS = 365 * 24 * 3600 };

#define CIPHERS_OF_TLS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"

/* clang-format off */
const struct config_key https_keys[] = {
    { "https-cert",         CONFIG_TEXT, "",         0, 0,                "PEM file with the certificate of the HTTP ports and its chain: they speak HTTPS; several with commas, chosen by the client's server name, the first for all other names; empty: plain", offsetof(struct https_settings, cert) },
    { "https-key",          CONFIG_TEXT, "",         0, 0,                "PEM file with its private key; as many as certificates, in the same order", offsetof(struct https_settings, key) },
    { "https-hsts-seconds", CONFIG_INT,  "31536000", 0, 10 * YEAR_SECONDS, "how long browsers shall ask by HTTPS only (Strict-Transport-Security); 0: not said", offsetof(struct https_settings, hsts_seconds) },
    { 0 },
};
static const struct metric_row expires_row = { "sagamesh_https_certificate_expires_timestamp_seconds", METRIC_GAUGE, METRIC_SECONDS, "When a certificate of the HTTP ports is no longer valid.", { "file" } };
/* clang-format on */

struct pair {
    struct https *https;
    char name[16]; /* for the watch: "https", "https-2" */
    char cert[PATH_BYTES], key[PATH_BYTES];
    SSL_CTX *context; /* under the set's lock */
};

struct https {
    pthread_mutex_t lock;
    struct pair pairs[PAIRS_MAX];
    size_t count;
    int64_t hsts_seconds;
    struct metrics *metrics;
    struct file_watch *files;
};

/* ---- a context ---- */

/* Of what the client offers; one that offers nothing speaks HTTP/1.1. */
static int
protocol_choose(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_bytes,
                const unsigned char *offered, unsigned int offered_bytes, void *owner)
{
    static const unsigned char ours[] = "\x8http/1.1";
    unsigned char *name;

    (void)ssl;
    (void)owner;
    if (SSL_select_next_proto(&name, ret_bytes, ours, sizeof ours - 1, offered, offered_bytes) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

/* The pair whose certificate has the name; the first one is there already. */
static int
certificate_choose(SSL *ssl, int *alert, void *owner)
{
    struct https *https = owner;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const unsigned int flags =
        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

    (void)alert;
    pthread_mutex_lock(&https->lock);
    for (size_t i = 0; name != NULL && i < https->count; i++) {
        SSL_CTX *context = https->pairs[i].context;

        if (X509_check_host(SSL_CTX_get0_certificate(context), name, 0, flags, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, context);
            break;
        }
    }
    pthread_mutex_unlock(&https->lock);
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
context_new(struct https *https)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context == NULL)
        abort(); /* memory only */
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context, CIPHERS_OF_TLS_1_2);
    /* A request says how long it is, so an end without close_notify cuts nothing off. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, protocol_choose, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, certificate_choose);
    SSL_CTX_set_tlsext_servername_arg(context, https);
    return context;
}

/* ---- a pair ---- */

/* The first is the server's own, the others lead from it to the CA. False: there is none, or OpenSSL takes it for weak. */
static bool
chain_use(SSL_CTX *context, const char *text)
{
    STACK_OF(X509) *chain = pem_certificates(text);
    int count = sk_X509_num(chain);
    bool is_used = count > 0 && SSL_CTX_use_certificate(context, sk_X509_value(chain, 0)) == 1;

    for (int i = 1; is_used && i < count; i++)
        is_used = SSL_CTX_add1_chain_cert(context, sk_X509_value(chain, i)) == 1;
    sk_X509_pop_free(chain, X509_free);
    return is_used;
}

static enum error
context_fill(SSL_CTX *context, const char *chain, const char *key_text, struct problem *problem)
{
    const char *const cert_flag = "--https-cert", *const key_flag = "--https-key";
    EVP_PKEY *key = key_text == NULL ? NULL : pem_key(key_text);
    enum error error = ERR_OK;

    if (chain == NULL || !chain_use(context, chain))
        error =
            problem_set(problem, ERR_BAD_REQUEST, cert_flag,
                        "must be a readable certificate in PEM, with a key that is long enough");
    else if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) <= 0)
        error = problem_set(problem, ERR_BAD_REQUEST, cert_flag, "must not have expired");
    else if (key == NULL)
        error = problem_set(problem, ERR_BAD_REQUEST, key_flag,
                            "must be a readable private key in PEM, without a passphrase");
    else if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1 ||
             SSL_CTX_use_PrivateKey(context, key) != 1)
        error =
            problem_set(problem, ERR_BAD_REQUEST, key_flag, "must be the key of its certificate");
    EVP_PKEY_free(key);
    ERR_clear_error();
    return error;
}

/* By the watch: at the start, and when a file has changed. */
static enum error
pair_read(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct pair *pair = owner;
    struct https *https = pair->https;
    struct arena *arena = arena_new();
    SSL_CTX *context = context_new(https), *old = context;
    const char *chain = file_reads_text(reads, pair->cert, PEM_BYTES_MAX, arena);
    const char *key = file_reads_text(reads, pair->key, PEM_BYTES_MAX, arena);
    enum error error = context_fill(context, chain, key, problem);

    if (error == ERR_OK) {
        pthread_mutex_lock(&https->lock);
        old = pair->context;
        pair->context = context;
        pthread_mutex_unlock(&https->lock);
    }
    SSL_CTX_free(old);
    arena_free(arena);
    return error;
}

static void
show(void *owner, struct metrics *metrics)
{
    struct https *https = owner;

    for (size_t i = 0; i < https->count; i++) {
        const char *const file[] = { https->pairs[i].cert };
        struct tm time = { 0 };

        pthread_mutex_lock(&https->lock);
        ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(https->pairs[i].context)),
                        &time);
        pthread_mutex_unlock(&https->lock);
        metric_set(metrics_series(metrics, &expires_row, file), timegm(&time) * SECOND_US);
    }
}

/* ---- on and off ---- */

static enum error
refuse(const struct config_key *flag, const char *file, const char *rule)
{
    log_error("event=HTTPS_REFUSED flag=--%s file=%s because=\"%s\"", flag->name, file, rule);
    return ERR_BAD_REQUEST;
}

/* The next item of a list with commas. False: there is none, or it is too long. */
static bool
item_take(const char **list, char item[PATH_BYTES])
{
    size_t bytes = strcspn(*list, ",");

    if (bytes == 0 || bytes >= PATH_BYTES)
        return false;
    snprintf(item, PATH_BYTES, "%.*s", (int)bytes, *list);
    *list += bytes + ((*list)[bytes] == ',');
    return true;
}

/* Takes the next pair of names. */
static enum error
pair_open(struct https *https, const struct https_settings *settings, const char **cert,
          const char **key)
{
    struct pair *pair = &https->pairs[https->count];
    struct file_owner owner = { pair->name, pair->cert, pair_read, pair };
    enum error error;

    if (https->count == PAIRS_MAX)
        return refuse(&https_keys[0], settings->cert, "16 certificates at most");
    if (!item_take(cert, pair->cert))
        return refuse(&https_keys[0], settings->cert, "it must name as many files as --https-key");
    if (!item_take(key, pair->key))
        return refuse(&https_keys[1], settings->key, "it must name as many files as --https-cert");
    pair->https = https;
    snprintf(pair->name, sizeof pair->name, https->count == 0 ? "https" : "https-%zu",
             https->count + 1);
    error = file_watch_add(https->files, &owner);
    https->count += error == ERR_OK;
    return error;
}

static enum error
pairs_open(struct https *https, const struct https_settings *settings)
{
    const char *cert = settings->cert, *key = settings->key;
    enum error error = ERR_OK;

    while (error == ERR_OK && (cert[0] != '\0' || key[0] != '\0'))
        error = pair_open(https, settings, &cert, &key);
    return error;
}

enum error
https_open(const struct https_settings *settings, struct metrics *metrics, struct file_watch *files,
           struct https **ret_https)
{
    struct https *https;
    enum error error;

    *ret_https = NULL;
    if (metrics != NULL)
        metrics_declare(metrics, &expires_row);
    if (settings->cert[0] == '\0' && settings->key[0] == '\0')
        return ERR_OK;
    https = memory_take(sizeof *https);
    pthread_mutex_init(&https->lock, NULL);
    https->hsts_seconds = settings->hsts_seconds;
    https->files = files;
    error = pairs_open(https, settings);
    if (error != ERR_OK) {
        https_close(https);
        return error;
    }
    https->metrics = metrics;
    if (metrics != NULL)
        metrics_read(metrics, show, https);
    log_info("event=HTTPS_ON certificates=%zu", https->count);
    *ret_https = https;
    return ERR_OK;
}

struct https *
https_close(struct https *https)
{
    if (https == NULL)
        return NULL;
    if (https->metrics != NULL)
        metrics_read_end(https->metrics, https);
    for (size_t i = 0; i < https->count; i++) {
        file_watch_remove(https->files, &https->pairs[i]);
        SSL_CTX_free(https->pairs[i].context);
    }
    pthread_mutex_destroy(&https->lock);
    free(https);
    return NULL;
}

SSL *
https_begin(struct https *https)
{
    SSL *ssl;

    pthread_mutex_lock(&https->lock);
    ssl = SSL_new(https->pairs[0].context);
    pthread_mutex_unlock(&https->lock);
    return ssl;
}

int64_t
https_hsts_seconds(const struct https *https)
{
    return https == NULL ? 0 : https->hsts_seconds;
}
