/* tls.c -- One provider of the core's for all credentials, fed with what was looked at; one verifier looks at every
 * peer's URI.
 *
 * The core's provider watches files, so a certificate is replaced without a new server or channel. What it watches are
 * files of memory, into which only good credentials are put.
 *
 * The core of Debian 12 has no call in C for the least version of TLS. It is told of no cipher of TLS 1.2 that a
 * certificate could be used with, which leaves TLS 1.3, whose ciphers are named elsewhere. */
#define _GNU_SOURCE /* memfd_create, dup3 */
#include "mesh/rpc/tls.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/log.h"
#include "mesh/base/pem.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/metrics.h"
#include "mesh/rpc/library.h"

#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REFRESH_SECONDS = 1, DOMAIN_BYTES_MAX = 255, PATH_BYTES = 32, FILE_BYTES_MAX = 1 << 20 };

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

/* The credentials that the core has now: files of memory, whose paths stay while what is in them is replaced. */
enum { IDENTITY, AUTHORITIES, KEPT };

static struct {
    struct rpc_tls_settings settings;
    struct metrics *metrics;
    struct file_watch *files;
    grpc_tls_certificate_provider *provider; /* NULL: it is off */
    char domain[DOMAIN_BYTES_MAX + 1];       /* "" until files were read */
    int kept[KEPT];
    char paths[KEPT][PATH_BYTES];
    time_t kept_times; /* how often one was replaced */
    _Atomic int64_t expires_us;
} self;

/* ---- what the files must be ---- */

/* All three, understood. */
struct credentials {
    STACK_OF(X509) * chain, *authorities; /* the first of the chain is our own */
    EVP_PKEY *key;
    char domain[DOMAIN_BYTES_MAX + 1];
};

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

/* NULL: our certificate is one that our own peers would believe. Else why not, as OpenSSL says it. */
static const char *
why_not_believed(const struct credentials *new)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    const char *why = NULL;

    for (int i = 0; i < sk_X509_num(new->authorities); i++)
        X509_STORE_add_cert(store, sk_X509_value(new->authorities, i));
    X509_STORE_CTX_init(check, store, sk_X509_value(new->chain, 0), new->chain);
    if (X509_verify_cert(check) != 1)
        why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    return why;
}

static enum error
credentials_check(struct credentials *new, struct problem *problem)
{
    static const char *const flags[] = { "--tls-cert", "--tls-key", "--tls-ca" };
    const char *why;

    if (sk_X509_num(new->chain) == 0)
        return problem_set(problem, ERR_BAD_REQUEST, flags[0],
                           "must be a readable certificate in PEM");
    if (new->key == NULL)
        return problem_set(problem, ERR_BAD_REQUEST, flags[1],
                           "must be a readable private key in PEM");
    if (sk_X509_num(new->authorities) == 0)
        return problem_set(problem, ERR_BAD_REQUEST, flags[2],
                           "must be a readable certificate in PEM");
    if (X509_check_private_key(sk_X509_value(new->chain, 0), new->key) != 1)
        return problem_set(problem, ERR_BAD_REQUEST, flags[1], "must be the key of --tls-cert");
    if (!domain_read(sk_X509_value(new->chain, 0), new->domain))
        return problem_set(problem, ERR_BAD_REQUEST, flags[0],
                           "must have one URI in its subjectAltName, spiffe://DOMAIN/NAME");
    if (self.domain[0] != '\0' && strcmp(self.domain, new->domain) != 0)
        return problem_set(problem, ERR_BAD_REQUEST, flags[0],
                           "must be of the domain %.64s as before: another one needs a restart",
                           self.domain);
    why = why_not_believed(new);
    return why == NULL ? ERR_OK
                       : problem_set(problem, ERR_BAD_REQUEST, flags[0],
                                     "must be valid now, and of --tls-ca: %s", why);
}

/* ---- what the core reads ---- */

/* The core's provider looks at its files each second, but takes whatever is in them: with a pair that does not fit it
 * has no certificate at all. So it is given files of our own, in memory, that never hold anything bad. Key and
 * chain are one file, and a file is replaced by one dup3(), so it can see no half. Each has another time than the one before,
 * which is how the core notices one that was replaced between its two reads. */
static enum error
keep(int which, BIO *bio)
{
    int fd = memfd_create("tls", MFD_CLOEXEC);
    struct timespec times[2] = { { .tv_sec = ++self.kept_times }, { .tv_sec = self.kept_times } };
    char *bytes;
    long count = BIO_get_mem_data(bio, &bytes);
    bool is_kept =
        fd >= 0 && write(fd, bytes, (size_t)count) == (ssize_t)count && futimens(fd, times) == 0;

    if (is_kept && self.kept[which] < 0) {
        self.kept[which] = fd;
        snprintf(self.paths[which], PATH_BYTES, "/proc/self/fd/%d", fd);
        return access(self.paths[which], R_OK) == 0 ? ERR_OK : ERR_INTERNAL;
    }
    is_kept = is_kept && dup3(fd, self.kept[which], O_CLOEXEC) >= 0;
    if (fd >= 0)
        close(fd);
    return is_kept ? ERR_OK : ERR_INTERNAL;
}

static enum error
credentials_keep(const struct credentials *new)
{
    BIO *identity = BIO_new(BIO_s_mem()), *authorities = BIO_new(BIO_s_mem());
    enum error error;

    PEM_write_bio_PKCS8PrivateKey(identity, new->key, NULL, NULL, 0, NULL, NULL);
    for (int i = 0; i < sk_X509_num(new->chain); i++)
        PEM_write_bio_X509(identity, sk_X509_value(new->chain, i));
    for (int i = 0; i < sk_X509_num(new->authorities); i++)
        PEM_write_bio_X509(authorities, sk_X509_value(new->authorities, i));
    error = keep(AUTHORITIES, authorities);
    if (error == ERR_OK)
        error = keep(IDENTITY, identity);
    BIO_free(identity);
    BIO_free(authorities);
    return error;
}

static void
credentials_free(struct credentials *credentials)
{
    sk_X509_pop_free(credentials->chain, X509_free);
    sk_X509_pop_free(credentials->authorities, X509_free);
    EVP_PKEY_free(credentials->key);
}

/* A file_owner's read(): all three or none. A file that cannot be read has nothing in it. */
static enum error
files_read(void *owner, struct file_reads *reads, struct problem *problem)
{
    const struct rpc_tls_settings *settings = &self.settings;
    struct arena *arena = arena_new();
    const char *const paths[] = { settings->cert, settings->key, settings->ca };
    const char *texts[3];
    struct credentials new = { 0 };
    enum error error;

    (void)owner;
    for (size_t i = 0; i < 3; i++) {
        texts[i] = file_reads_text(reads, paths[i], FILE_BYTES_MAX, arena);
        if (texts[i] == NULL)
            texts[i] = "";
    }
    new.chain = pem_certificates(texts[0]);
    new.key = pem_key(texts[1]);
    new.authorities = pem_certificates(texts[2]);
    error = credentials_check(&new, problem);
    if (error == ERR_OK) {
        error = credentials_keep(&new);
        if (error != ERR_OK)
            problem_set(problem, error, "--tls-cert", "cannot be kept in memory: %s",
                        strerror(errno));
    }
    if (error == ERR_OK) {
        snprintf(self.domain, sizeof self.domain, "%s", new.domain);
        atomic_store(&self.expires_us, expires_us(sk_X509_value(new.chain, 0)));
    }
    credentials_free(&new);
    arena_free(arena);
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

    if (SSL_CTX_use_certificate_chain_file(context, self.paths[IDENTITY]) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, self.paths[IDENTITY], SSL_FILETYPE_PEM) == 1 &&
        (ssl = SSL_new(context)) != NULL && SSL_set_fd(ssl, fd) == 1) {
        SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
        error = shake_hands(ssl, fd, until_us);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return error;
}

/* ---- on and off ---- */

/* Of the certificate in use: a file that was refused does not count. */
static void
show(void *owner, struct metrics *metrics)
{
    (void)owner;
    metric_set(metrics_series(metrics, &expires_row, NULL), atomic_load(&self.expires_us));
}

/* Nothing of a former time: tests open it again and again. */
static void
forget(void)
{
    for (int i = 0; i < KEPT; i++) {
        if (self.kept[i] > 0)
            close(self.kept[i]);
        self.kept[i] = -1;
    }
    self.domain[0] = '\0';
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
rpc_tls_open(const struct rpc_tls_settings *settings, struct metrics *metrics,
             struct file_watch *files)
{
    const char *const paths[] = { settings->cert, settings->key, settings->ca };
    const struct file_owner owner = {
        .name = "tls", .path = settings->cert, .read = files_read, .owner = &self
    };
    size_t given = 0;
    enum error error;

    for (size_t i = 0; i < 3; i++)
        given += paths[i][0] != '\0';
    metric_set(metrics_series(metrics, &expires_row, NULL), 0);
    if (given == 0)
        return ERR_OK;
    for (size_t i = 0; i < 3; i++) {
        if (paths[i][0] == '\0') {
            log_error("event=TLS_REFUSED flag=--%s because=\"it must be given with the other two\"",
                      rpc_tls_keys[i].name);
            return ERR_BAD_REQUEST;
        }
    }
    forget();
    self.settings = *settings;
    self.metrics = metrics;
    self.files = files;
    error = file_watch_add(files, &owner);
    if (error != ERR_OK) {
        forget();
        return error;
    }
    setenv("GRPC_SSL_CIPHER_SUITES", NO_CIPHER_OF_TLS_1_2, 1);
    rpc_library_open();
    self.provider = grpc_tls_certificate_provider_file_watcher_create(
        self.paths[IDENTITY], self.paths[IDENTITY], self.paths[AUTHORITIES], REFRESH_SECONDS);
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
    file_watch_remove(self.files, &self);
    if (self.metrics != NULL)
        metrics_read_end(self.metrics, &self);
    grpc_tls_certificate_provider_release(self.provider);
    self.provider = NULL;
    rpc_library_close();
    forget();
}
