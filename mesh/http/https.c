/* https.c -- A context for each pair of files; a new one takes the place of the old, which lives on in its connections.
 *
 * What a stranger may cost is bounded here: no renegotiation, no session kept (tickets hold them at the client), buffers
 * given back while a connection is silent, and one record a call, so that endless empty messages do not hold the loop.
 */
#include "mesh/http/https.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { PAIRS_MAX = 16, PATH_BYTES = 1024, YEAR_SECONDS = 365 * 24 * 3600 };

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

/* What a file looked like: another one of this name, or another content, differs. */
struct look {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec changed;
};

struct pair {
    char cert[PATH_BYTES], key[PATH_BYTES];
    SSL_CTX *context;             /* under the set's lock */
    struct look taken[2], met[2]; /* of the files in use; at the last look */
};

struct https {
    pthread_mutex_t lock;
    struct pair pairs[PAIRS_MAX];
    size_t count;
    int64_t hsts_seconds;
    struct metrics *metrics;
};

/* ---- a context ---- */

/* A key with a passphrase is none: nobody is there to say it. */
static int
no_passphrase(char *text, int size, int is_writing, void *owner)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)owner;
    return 0;
}

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
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    return context;
}

/* NULL: the files do not fit, and which flag's, and why. */
static SSL_CTX *
pair_read(struct https *https, const struct pair *pair, const struct config_key **ret_flag,
          const char **ret_rule)
{
    SSL_CTX *context = context_new(https);
    const char *rule = NULL;

    *ret_flag = &https_keys[1];
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, pair->cert) != 1) {
        *ret_flag = &https_keys[0];
        rule = "it must be a readable certificate in PEM, with a key that is long enough";
    } else if (X509_cmp_current_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context))) <= 0) {
        *ret_flag = &https_keys[0];
        rule = "it must not have expired";
    } else if (SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM) != 1 &&
               ERR_GET_REASON(ERR_peek_error()) != X509_R_KEY_VALUES_MISMATCH) {
        rule = "it must be a readable private key in PEM, without a passphrase";
    } else if (SSL_CTX_check_private_key(context) != 1) { /* also one of another kind */
        rule = "it must be the key of its certificate";
    }
    ERR_clear_error();
    if (rule == NULL)
        return context;
    *ret_rule = rule;
    SSL_CTX_free(context);
    return NULL;
}

/* ---- files that change ---- */

static struct look
file_look(const char *path)
{
    struct stat state;

    if (stat(path, &state) != 0)
        return (struct look){ 0 };
    return (struct look){ state.st_dev, state.st_ino, state.st_size, state.st_mtim };
}

static bool
is_same_look(const struct look *a, const struct look *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool
are_same_looks(const struct look a[2], const struct look b[2])
{
    return is_same_look(&a[0], &b[0]) && is_same_look(&a[1], &b[1]);
}

static void
pair_renew(struct https *https, struct pair *pair)
{
    const struct config_key *flag;
    const char *rule;
    SSL_CTX *context = pair_read(https, pair, &flag, &rule), *old;

    if (context == NULL) {
        log_error("event=HTTPS_CERTIFICATE_LEFT flag=--%s certificate=%s key=%s because=\"%s\""
                  " next=\"mend the files; until then the last pair stays in use\"",
                  flag->name, pair->cert, pair->key, rule);
        return;
    }
    pthread_mutex_lock(&https->lock);
    old = pair->context;
    pair->context = context;
    pthread_mutex_unlock(&https->lock);
    SSL_CTX_free(old);
    log_info("event=HTTPS_CERTIFICATE_RENEWED certificate=%s", pair->cert);
}

/* A change is taken when it is still the same at the next look. */
static void
pair_look(struct https *https, struct pair *pair)
{
    struct look now[2] = { file_look(pair->cert), file_look(pair->key) };
    bool is_settled = are_same_looks(now, pair->met);

    memcpy(pair->met, now, sizeof now);
    if (!is_settled || are_same_looks(now, pair->taken))
        return;
    memcpy(pair->taken, now, sizeof now);
    pair_renew(https, pair);
}

void
https_look(struct https *https)
{
    for (size_t i = 0; https != NULL && i < https->count; i++)
        pair_look(https, &https->pairs[i]);
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

static enum error
pairs_open(struct https *https, const struct https_settings *settings)
{
    const char *cert = settings->cert, *key = settings->key, *rule;
    const struct config_key *flag;

    while (cert[0] != '\0' || key[0] != '\0') {
        struct pair *pair = &https->pairs[https->count];

        if (https->count == PAIRS_MAX)
            return refuse(&https_keys[0], settings->cert, "16 certificates at most");
        if (!item_take(&cert, pair->cert))
            return refuse(&https_keys[0], settings->cert,
                          "it must name as many files as --https-key");
        if (!item_take(&key, pair->key))
            return refuse(&https_keys[1], settings->key,
                          "it must name as many files as --https-cert");
        pair->taken[0] = pair->met[0] = file_look(pair->cert);
        pair->taken[1] = pair->met[1] = file_look(pair->key);
        pair->context = pair_read(https, pair, &flag, &rule);
        if (pair->context == NULL)
            return refuse(flag, flag == &https_keys[0] ? pair->cert : pair->key, rule);
        https->count++;
    }
    return ERR_OK;
}

enum error
https_open(const struct https_settings *settings, struct metrics *metrics, struct https **ret_https)
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
    for (size_t i = 0; i < https->count; i++)
        SSL_CTX_free(https->pairs[i].context);
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
