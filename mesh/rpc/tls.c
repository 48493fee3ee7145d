/* tls.c -- One provider watches the three files for all credentials; one verifier looks at every peer's URI.
 *
 * The core of Debian 12 has no call in C for the least version of TLS. It is told of no cipher of TLS 1.2 that a
 * certificate could be used with, which leaves TLS 1.3, whose ciphers are named elsewhere. */
#include "mesh/rpc/tls.h"

#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/library.h"

#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REFRESH_SECONDS = 1, DOMAIN_BYTES_MAX = 255 };

#define SCHEME "spiffe://"
#define NO_CIPHER_OF_TLS_1_2 "PSK-AES256-GCM-SHA384"

/* clang-format off */
const struct config_key rpc_tls_keys[] = {
    { "tls-cert", CONFIG_TEXT, "", 0, 0, "PEM file with this program's certificate and its chain, whose URI is its identity (spiffe://DOMAIN/NAME); with --tls-key and --tls-ca all gRPC is TLS 1.3; empty: plain", offsetof(struct rpc_tls_settings, cert) },
    { "tls-key",  CONFIG_TEXT, "", 0, 0, "PEM file with its private key", offsetof(struct rpc_tls_settings, key) },
    { "tls-ca",   CONFIG_TEXT, "", 0, 0, "PEM file with the certificates of the CA that the others' certificates must be of", offsetof(struct rpc_tls_settings, ca) },
    { 0 },
};
static const struct metric_row expires_row = { "sagamesh_tls_certificate_expires_timestamp_seconds", METRIC_GAUGE, METRIC_SECONDS, "When this program's certificate for gRPC is no longer valid; 0: it speaks plain.", { NULL } };
/* clang-format on */

static struct {
    struct rpc_tls_settings settings;
    struct metrics *metrics;
    grpc_tls_certificate_provider *provider; /* NULL: it is off */
    char domain[DOMAIN_BYTES_MAX + 1];
} self;

/* ---- what the files must be ---- */

static enum error
refuse(const char *flag, const char *path, const char *rule)
{
    log_error("event=TLS_REFUSED flag=--%s file=%s because=\"%s\"", flag, path, rule);
    return ERR_BAD_REQUEST;
}

/* The first of the file: that of the program itself, or of a CA. NULL: it cannot be read, or is none. */
static X509 *
certificate_read(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);

    if (file != NULL)
        fclose(file);
    return certificate;
}

/* NULL likewise. A key with a passphrase is none: nobody is there to say it. */
static EVP_PKEY *
key_read(const char *path)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_PrivateKey(file, NULL, NULL, NULL);

    if (file != NULL)
        fclose(file);
    return key;
}

/* The length of DOMAIN in spiffe://DOMAIN/PATH; 0: the URI is none. */
static size_t
domain_bytes(const char *uri)
{
    const char *slash;

    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
        return 0;
    slash = strchr(uri + strlen(SCHEME), '/');
    return slash == NULL || slash[1] == '\0' ? 0 : (size_t)(slash - uri) - strlen(SCHEME);
}

/* The domain of the one URI of a certificate. False: it has none, or several. */
static bool
domain_read(X509 *certificate, char ret_domain[DOMAIN_BYTES_MAX + 1])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t bytes = 0;
    int uris = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const char *uri;

        if (name->type != GEN_URI)
            continue;
        uris++;
        uri = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        bytes = domain_bytes(uri);
        if (bytes <= DOMAIN_BYTES_MAX)
            snprintf(ret_domain, DOMAIN_BYTES_MAX + 1, "%.*s", (int)bytes, uri + strlen(SCHEME));
    }
    GENERAL_NAMES_free(names);
    return uris == 1 && bytes > 0 && bytes <= DOMAIN_BYTES_MAX;
}

/* 0: it says no time that can be. */
static int64_t
expires_us(X509 *certificate)
{
    struct tm time = { 0 };

    return ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) == 1 ? timegm(&time) * SECOND_US
                                                                        : 0;
}

/* Once, when the program starts; keeps the domain. What is written later is the core's to read. */
static enum error
files_check(const struct rpc_tls_settings *settings)
{
    X509 *certificate = certificate_read(settings->cert), *ca = certificate_read(settings->ca);
    EVP_PKEY *key = key_read(settings->key);
    enum error error = ERR_OK;

    if (certificate == NULL)
        error = refuse("tls-cert", settings->cert, "it must be a readable certificate in PEM");
    else if (key == NULL)
        error = refuse("tls-key", settings->key, "it must be a readable private key in PEM");
    else if (ca == NULL)
        error = refuse("tls-ca", settings->ca, "it must be a readable certificate in PEM");
    else if (X509_check_private_key(certificate, key) != 1)
        error = refuse("tls-key", settings->key, "it must be the key of --tls-cert");
    else if (!domain_read(certificate, self.domain))
        error = refuse("tls-cert", settings->cert,
                       "it must have one URI in its subjectAltName, spiffe://DOMAIN/NAME");
    else if (expires_us(certificate) <= clock_now_us())
        error = refuse("tls-cert", settings->cert, "it must not have expired");
    X509_free(certificate);
    X509_free(ca);
    EVP_PKEY_free(key);
    return error;
}

/* ---- every peer ---- */

/* The chain is looked at already. A thread of the core's. */
static int
verify(void *owner, grpc_tls_custom_verification_check_request *request,
       grpc_tls_on_custom_verification_check_done_cb done, void *done_owner,
       grpc_status_code *ret_status, char **ret_why)
{
    size_t count = request->peer_info.san_names.uri_names_size;
    const char *uri = count == 1 ? request->peer_info.san_names.uri_names[0] : "";
    size_t bytes = domain_bytes(uri);

    (void)owner;
    (void)done;
    (void)done_owner;
    *ret_status = GRPC_STATUS_OK;
    if (bytes != strlen(self.domain) || strncmp(uri + strlen(SCHEME), self.domain, bytes) != 0) {
        *ret_status = GRPC_STATUS_UNAUTHENTICATED;
        *ret_why = gpr_strdup("the peer's certificate has no identity of our domain");
    }
    return 1;
}

/* verify() keeps nothing, so there is nothing to give up or to free. */
static void
verify_cancel(void *owner, grpc_tls_custom_verification_check_request *request)
{
    (void)owner;
    (void)request;
}

static void
verify_end(void *owner)
{
    (void)owner;
}

/* What servers and clients have in common; the credentials that are made of them take them over. */
static grpc_tls_credentials_options *
options_new(void)
{
    static grpc_tls_certificate_verifier_external external = { .verify = verify,
                                                               .cancel = verify_cancel,
                                                               .destruct = verify_end };
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_certificate_verifier *verifier =
        grpc_tls_certificate_verifier_external_create(&external);

    grpc_tls_credentials_options_set_certificate_provider(options, self.provider);
    grpc_tls_credentials_options_watch_root_certs(options);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    grpc_tls_certificate_verifier_release(verifier);
    return options;
}

grpc_channel_credentials *
rpc_tls_channel_credentials(void)
{
    return rpc_tls_is_on() ? grpc_tls_credentials_create(options_new())
                           : grpc_insecure_credentials_create();
}

grpc_server_credentials *
rpc_tls_server_credentials(void)
{
    grpc_tls_credentials_options *options;

    if (!rpc_tls_is_on())
        return grpc_insecure_server_credentials_create();
    options = options_new();
    grpc_tls_credentials_options_set_cert_request_type(
        options, GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    return grpc_tls_server_credentials_create(options);
}

/* ---- connections from our acceptor ---- */

/* grpc_server_add_channel_from_fd() of Debian 12's core takes plain connections only. What takes others is for its C++
 * side: a port "external:NAME" has a handler, a C++ object whose third virtual function, behind the two of its
 * destructor, is Handle(listener, fd, bytes read already). The wire tests of TLS fail at once where it is another. */
typedef void handle(void *handler, int listener, int fd, grpc_byte_buffer *read);

/* The argument is the address of a place of ours: nothing to be copied or freed. */
static void *
place_copy(void *place)
{
    return place;
}

static void
place_destroy(void *place)
{
    (void)place;
}

static int
place_compare(void *a, void *b)
{
    return a < b ? -1 : a > b;
}

void
rpc_tls_argument(void **handler, grpc_arg *ret_argument)
{
    static const grpc_arg_pointer_vtable table = { place_copy, place_destroy, place_compare };
    static char name[] = RPC_TLS_PORT;

    *ret_argument = (grpc_arg){ .type = GRPC_ARG_POINTER,
                                .key = name,
                                .value.pointer = { .p = handler, .vtable = &table } };
}

void
rpc_tls_take(void *handler, int fd)
{
    enum { HANDLE = 2, NO_LISTENER = -1 };
    handle *const *functions = *(handle *const **)handler;

    functions[HANDLE](handler, NO_LISTENER, fd, NULL);
}

/* ---- our own port ---- */

/* False: the time is over, or the wait was disturbed. */
static bool
wait_for(int fd, short events, int64_t until_us)
{
    struct pollfd polled = { .fd = fd, .events = events };
    int64_t left_us = until_us - clock_steady_us();

    return left_us > 0 && poll(&polled, 1, (int)(left_us / 1000) + 1) > 0;
}

/* Shakes hands and reads the server's first word. A refusal is an answer too: our certificate may have expired. */
static enum error
shake_hands(SSL *ssl, int fd, int64_t until_us)
{
    for (;;) {
        char word[1];
        int result = SSL_is_init_finished(ssl) ? SSL_read(ssl, word, 1) : SSL_connect(ssl);
        int want = SSL_get_error(ssl, result);

        if (result == 1 && SSL_is_init_finished(ssl) && SSL_pending(ssl) > 0)
            return ERR_OK;
        if (result == 1)
            continue;
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return ERR_OK;
        if (!wait_for(fd, want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until_us))
            return clock_steady_us() < until_us ? ERR_BUSY : ERR_UNREACHABLE;
    }
}

enum error
rpc_tls_probe(int fd, int64_t until_us)
{
    static const unsigned char protocols[] = "\2h2";
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    enum error error = ERR_BUSY;

    if (SSL_CTX_use_certificate_chain_file(context, self.settings.cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, self.settings.key, SSL_FILETYPE_PEM) == 1 &&
        (ssl = SSL_new(context)) != NULL && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
        error = shake_hands(ssl, fd, until_us);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return error;
}

/* ---- on and off ---- */

/* The file as it is now: with one that cannot be read the last one stands. */
static void
show(void *owner, struct metrics *metrics)
{
    X509 *certificate = certificate_read(self.settings.cert);

    (void)owner;
    if (certificate != NULL)
        metric_set(metrics_series(metrics, &expires_row, NULL), expires_us(certificate));
    X509_free(certificate);
}

bool
rpc_tls_is_on(void)
{
    return self.provider != NULL;
}

const char *
rpc_tls_domain(void)
{
    return rpc_tls_is_on() ? self.domain : "";
}

enum error
rpc_tls_open(const struct rpc_tls_settings *settings, struct metrics *metrics)
{
    const char *const paths[] = { settings->cert, settings->key, settings->ca };
    size_t given = 0;
    enum error error;

    for (size_t i = 0; i < 3; i++)
        given += paths[i][0] != '\0';
    metric_set(metrics_series(metrics, &expires_row, NULL), 0);
    if (given == 0)
        return ERR_OK;
    for (size_t i = 0; i < 3; i++) {
        if (paths[i][0] == '\0')
            return refuse(rpc_tls_keys[i].name, "", "it must be given with the other two");
    }
    error = files_check(settings);
    if (error != ERR_OK)
        return error;
    self.settings = *settings;
    self.metrics = metrics;
    setenv("GRPC_SSL_CIPHER_SUITES", NO_CIPHER_OF_TLS_1_2, 1);
    rpc_library_open();
    self.provider = grpc_tls_certificate_provider_file_watcher_create(
        settings->key, settings->cert, settings->ca, REFRESH_SECONDS);
    if (metrics != NULL)
        metrics_read(metrics, show, &self);
    log_info("event=TLS_ON domain=%s certificate=%s", self.domain, settings->cert);
    return ERR_OK;
}

void
rpc_tls_close(void)
{
    if (!rpc_tls_is_on())
        return;
    if (self.metrics != NULL)
        metrics_read_end(self.metrics, &self);
    grpc_tls_certificate_provider_release(self.provider);
    self.provider = NULL;
    rpc_library_close();
}
