/* test_rpc_tls.c -- Who is let in: certificates of the mesh, by TLS 1.3, also after they were replaced. */
#include "mesh/base/clock.h"
#include "mesh/base/current.h"
#include "mesh/base/file.h"
#include "mesh/base/log.h"
#include "mesh/observe/file_watch.h"
#include "mesh/rpc/client_channel.h"
#include "mesh/rpc/policy.h"
#include "mesh/rpc/tls.h"
#include "tests/support/certificates.h"
#include "tests/support/check.h"
#include "tests/support/rpc/server_harness.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define OURS "URI:spiffe://mesh.test/order-svc"
enum { WAIT_SECONDS = 60 };

static struct metrics *shown;
static struct file_watch *files;

static struct rpc_tls_settings
settings_of(const char *name)
{
    static char cert[512], key[512], ca[512];
    char file[64];

    snprintf(file, sizeof file, "%s.crt", name);
    snprintf(cert, sizeof cert, "%s", certificate_path(file));
    snprintf(file, sizeof file, "%s.key", name);
    snprintf(key, sizeof key, "%s", certificate_path(file));
    snprintf(ca, sizeof ca, "%s", certificate_path("ca.crt"));
    return (struct rpc_tls_settings){ .cert = cert, .key = key, .ca = ca };
}

static void
begin(void)
{
    struct rpc_tls_settings settings;

    log_open("test", LOG_ERROR);
    certificates_open();
    certificate_make("ca", NULL, "", 10, 1);
    certificate_make("ours", "ca", OURS, 5, 1);
    settings = settings_of("ours");
    shown = metrics_new();
    files = file_watch_new(shown);
    ck_assert_int_eq(rpc_tls_open(&settings, shown, files), ERR_OK);
    set_up();
}

static void
end(void)
{
    take_down();
    rpc_tls_close();
    file_watch_free(files);
    metrics_free(shown);
    certificates_close();
}

/* ---- the server and its callers ---- */

/* True: the channel comes about. False: it was tried, and did not. */
static bool
comes_about(grpc_channel *channel)
{
    grpc_completion_queue *events = grpc_completion_queue_create_for_next(NULL);
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel, 1);

    while (state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_TRANSIENT_FAILURE) {
        grpc_event event;

        grpc_channel_watch_connectivity_state(channel, state, gpr_inf_future(GPR_CLOCK_REALTIME),
                                              events, NULL);
        event = grpc_completion_queue_next(events, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        ck_assert_int_eq(event.type, GRPC_OP_COMPLETE);
        state = grpc_channel_check_connectivity_state(channel, 1);
    }
    grpc_completion_queue_shutdown(events);
    grpc_completion_queue_next(events, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_completion_queue_destroy(events);
    return state == GRPC_CHANNEL_READY;
}

static char *
text_of(const char *name, const char *end)
{
    char file[64];

    snprintf(file, sizeof file, "%s%s", name, end);
    return file_read(certificate_path(file), 1 << 16, arena);
}

/* A client that shows this certificate, and looks at none; name NULL: it has none. */
static grpc_channel *
stranger_open(const char *name)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_certificate_verifier *verifier = grpc_tls_certificate_verifier_no_op_create();
    grpc_tls_identity_pairs *pairs = NULL;
    grpc_tls_certificate_provider *provider;
    grpc_channel_credentials *credentials;
    grpc_channel *channel;
    char address[32];

    if (name != NULL) {
        pairs = grpc_tls_identity_pairs_create();
        grpc_tls_identity_pairs_add_pair(pairs, text_of(name, ".key"), text_of(name, ".crt"));
    }
    provider = grpc_tls_certificate_provider_static_data_create(text_of("ca", ".crt"), pairs);
    grpc_tls_credentials_options_set_certificate_provider(options, provider);
    grpc_tls_credentials_options_watch_root_certs(options);
    if (name != NULL)
        grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    credentials = grpc_tls_credentials_create(options);
    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server));
    channel = grpc_channel_create(address, credentials, NULL);
    grpc_channel_credentials_release(credentials);
    grpc_tls_certificate_provider_release(provider);
    grpc_tls_certificate_verifier_release(verifier);
    return channel;
}

/* clang-format off */
static const struct {
    const char *what, *ca, *names;
    int days;
    bool is_let_in;
} strangers[] = {
    { "another program of the mesh", "ca",    "URI:spiffe://mesh.test/saga-svc", 5, true },
    { "with names of hosts beside",  "ca",    "URI:spiffe://mesh.test/bff,DNS:bff.local,IP:10.0.0.1", 5, true },
    { "expired",                     "ca",    OURS, -1, false },
    { "of another CA",               "other", OURS, 5, false },
    { "without an identity",         "ca",    "DNS:order-svc", 5, false },
    { "of another domain",           "ca",    "URI:spiffe://mesh.test.example/order-svc", 5, false },
    { "of a part of the domain",     "ca",    "URI:spiffe://mesh/order-svc", 5, false },
    { "with two identities",         "ca",    OURS ",URI:spiffe://mesh.test/saga-svc", 5, false },
    { "with a URI of the web",       "ca",    "URI:https://mesh.test/order-svc", 5, false },
    { "no certificate",              NULL,    "", 0, false },
};
/* clang-format on */

START_TEST(a_caller_is_let_in_by_its_certificate)
{
    grpc_channel *channel;
    struct answer answer;

    certificate_make("other", NULL, "", 10, 1);
    if (strangers[_i].ca != NULL)
        certificate_make("stranger", strangers[_i].ca, strangers[_i].names, strangers[_i].days, 7);
    channel = stranger_open(strangers[_i].ca == NULL ? NULL : "stranger");
    ck_assert_msg(comes_about(channel) == strangers[_i].is_let_in, "%s", strangers[_i].what);
    grpc_channel_destroy(channel);
    unary_await(restock_start("apple", 7, 60000, NULL), &answer); /* ours are served all the same */
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
}
END_TEST

START_TEST(a_plain_caller_is_not_let_in)
{
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    grpc_channel *channel;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server));
    channel = grpc_channel_create(address, plain, NULL);
    ck_assert(!comes_about(channel));
    grpc_channel_destroy(channel);
    grpc_channel_credentials_release(plain);
}
END_TEST

/* ---- our client, and who listens there ---- */

/* A server that shows this certificate, on a port of its own: it speaks, and answers no call. */
static void
check_server(const char *name, bool is_believed)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
    grpc_completion_queue *events = grpc_completion_queue_create_for_next(NULL);
    grpc_server *wrong = grpc_server_create(NULL, NULL);
    grpc_tls_certificate_provider *provider;
    grpc_server_credentials *credentials;
    grpc_channel *channel;
    char address[32];

    grpc_tls_identity_pairs_add_pair(pairs, text_of(name, ".key"), text_of(name, ".crt"));
    provider = grpc_tls_certificate_provider_static_data_create(text_of("ca", ".crt"), pairs);
    grpc_tls_credentials_options_set_certificate_provider(options, provider);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    credentials = grpc_tls_server_credentials_create(options);
    grpc_server_register_completion_queue(wrong, events, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%d",
             grpc_server_add_http2_port(wrong, "127.0.0.1:0", credentials));
    grpc_server_start(wrong);
    channel = client_channel_open(address, NULL);
    ck_assert_msg(comes_about(channel) == is_believed, "%s", name);
    grpc_channel_destroy(channel);
    grpc_server_shutdown_and_notify(wrong, events, NULL);
    grpc_completion_queue_next(events, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_server_destroy(wrong);
    grpc_completion_queue_shutdown(events);
    grpc_completion_queue_next(events, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    grpc_completion_queue_destroy(events);
    grpc_server_credentials_release(credentials);
    grpc_tls_certificate_provider_release(provider);
}

START_TEST(a_server_is_believed_by_its_certificate)
{
    certificate_make("other", NULL, "", 10, 1);
    certificate_make("good", "ca", "URI:spiffe://mesh.test/storage-svc", 5, 2);
    certificate_make("forged", "other", "URI:spiffe://mesh.test/storage-svc", 5, 2);
    certificate_make("host", "ca", "IP:127.0.0.1", 5, 2);
    certificate_make("late", "ca", "URI:spiffe://mesh.test/storage-svc", -1, 2);
    check_server("good", true);
    check_server("forged", false);
    check_server("host", false);
    check_server("late", false);
}
END_TEST

/* ---- a client of OpenSSL's own ---- */

/* The serial of the certificate that the server shows to who speaks at most this version; 0: it does not answer it. */
static long
serial_shown(int version)
{
    static const unsigned char protocols[] = "\2h2";
    const struct timeval wait = { .tv_sec = WAIT_SECONDS };
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)rpc_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    long serial = 0;

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    SSL_use_certificate_file(ssl, certificate_path("ours.crt"), SSL_FILETYPE_PEM);
    SSL_use_PrivateKey_file(ssl, certificate_path("ours.key"), SSL_FILETYPE_PEM);
    SSL_set_max_proto_version(ssl, version);
    SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) {
        X509 *certificate = SSL_get1_peer_certificate(ssl);

        ck_assert_int_eq(SSL_version(ssl), version);
        serial = ASN1_INTEGER_get(X509_get0_serialNumber(certificate));
        X509_free(certificate);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return serial;
}

START_TEST(older_versions_are_refused)
{
    ck_assert_int_eq(serial_shown(TLS1_3_VERSION), 1);
    ck_assert_int_eq(serial_shown(TLS1_2_VERSION), 0);
}
END_TEST

START_TEST(files_are_replaced_while_calls_go_on)
{
    grpc_channel *stranger;
    struct answer answer;
    int64_t until_us = check_until(WAIT_SECONDS);

    certificate_make("ours", "ca", OURS, 5, 2);
    do {
        file_watch_look(files, false);
        unary_await(restock_start("apple", 7, WAIT_SECONDS * 1000, NULL), &answer);
        ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
        ck_assert_int_lt(clock_steady_us(), until_us);
    } while (serial_shown(TLS1_3_VERSION) != 2);
    /* Another CA beside the old one, before certificates of it come. */
    certificate_make("other", NULL, "", 10, 1);
    certificate_make("stranger", "other", "URI:spiffe://mesh.test/saga-svc", 5, 7);
    {
        char *old = text_of("ca", ".crt"), *new = text_of("other", ".crt");
        FILE *file = fopen(certificate_path("ca.crt.new"), "w");

        fprintf(file, "%s\n%s\n", old, new);
        fclose(file);
        rename(certificate_path("ca.crt.new"), certificate_path("ca.crt"));
    }
    for (bool is_let_in = false; !is_let_in;) {
        file_watch_look(files, false);
        stranger = stranger_open("stranger");
        is_let_in = comes_about(stranger);
        grpc_channel_destroy(stranger);
        unary_await(restock_start("apple", 7, WAIT_SECONDS * 1000, NULL), &answer);
        ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
        ck_assert_int_lt(clock_steady_us(), until_us);
    }
}
END_TEST

/* clang-format off */
static const struct {
    const char *what, *cert, *key, *ca; /* taken from; NULL: it stays */
} bad_files[] = {
    { "no certificate",             "none", NULL,    NULL },
    { "no key",                     NULL,   "none",  NULL },
    { "no CA",                      NULL,   NULL,    "none" },
    { "another's key",              NULL,   "other", NULL },
    { "a certificate without its key", "good", NULL, NULL },
    { "of another CA",              "other", "other", NULL },
    { "another CA",                 NULL,   NULL,    "other" },
    { "expired",                    "late", "late",  NULL },
    { "of another domain",          "away", "away",  NULL },
};
/* clang-format on */

/* NAME.END becomes ours.END, or that of the CA; by a rename. */
static void
replace(const char *name, const char *end, const char *ours)
{
    const char *text = strcmp(name, "none") == 0 ? "" : text_of(name, end);
    char path[512], new[520];
    FILE *file;

    snprintf(path, sizeof path, "%s%s", certificate_path(ours), end);
    snprintf(new, sizeof new, "%s.new", path);
    file = fopen(new, "w");
    fprintf(file, "%s\n", text);
    fclose(file);
    ck_assert_int_eq(rename(new, path), 0);
}

static void
put_all(const char *cert, const char *key, const char *ca)
{
    replace(cert, ".crt", "ours");
    replace(key, ".key", "ours");
    replace(ca, ".crt", "ca");
    file_watch_look(files, true);
}

START_TEST(bad_files_leave_the_good_ones_in_use)
{
    const char *failures = "sagamesh_file_reload_failures_total{file=\"tls\"}";
    int64_t until_us;

    log_open("test", LOG_ERROR + 1);
    certificate_make("root", NULL, "", 10, 1); /* only a name of another CA */
    certificate_make("other", "root", OURS, 5, 3);
    certificate_make("good", "ca", OURS, 5, 4);
    certificate_make("late", "ca", OURS, -1, 5);
    certificate_make("away", "ca", "URI:spiffe://mesh.other/order-svc", 5, 6);
    replace("ours", ".crt", "first");
    replace("ours", ".key", "first");
    replace("ca", ".crt", "our-ca");
    for (int i = 0; i < ROWS(bad_files); i++) {
        const char *cert = bad_files[i].cert, *key = bad_files[i].key, *ca = bad_files[i].ca;

        put_all(cert == NULL ? "first" : cert, key == NULL ? "first" : key,
                ca == NULL ? "our-ca" : ca);
        ck_assert_msg(metric_shown(shown, failures) == i + 1, "%s", bad_files[i].what);
    }
    /* The core looks each second: with what is there now it would have no certificate. */
    until_us = clock_steady_us() + 2 * SECOND_US;
    replace("first", ".crt", "ours"); /* for serial_shown(), which shows the files */
    replace("first", ".key", "ours");
    replace("none", ".crt", "ca");
    file_watch_look(files, true);
    while (clock_steady_us() < until_us)
        ck_assert_int_eq(serial_shown(TLS1_3_VERSION), 1);
    put_all("good", "good", "our-ca");
    ck_assert(metric_shown(shown, failures) == ROWS(bad_files) + 1);
    until_us = check_until(WAIT_SECONDS);
    for (long serial = 0; serial != 4;) {
        serial = serial_shown(TLS1_3_VERSION);
        ck_assert(serial == 1 || serial == 4);
        ck_assert_int_lt(clock_steady_us(), until_us);
    }
}
END_TEST

START_TEST(the_port_answers_its_own_probe)
{
    ck_assert_int_eq(rpc_server_probe(server, WAIT_SECONDS * 1000), ERR_OK);
}
END_TEST

START_TEST(it_is_shown_when_the_certificate_expires)
{
    double left = metric_shown(shown, "sagamesh_tls_certificate_expires_timestamp_seconds") -
                  (double)(clock_now_us() / SECOND_US);

    ck_assert(left > 4.5 * 24 * 3600 && left <= 5 * 24 * 3600);
}
END_TEST

/* ---- who may call what ---- */

#define LETS(methods)                                                                              \
    "{\"rules\": [{\"name\": \"stock\", \"identities\": [\"/order-svc\"], \"methods\": [" methods  \
    "]}, {\"name\": \"steps\", \"identities\": [\"/saga-svc\"], \"methods\": "                     \
    "[\"sagamesh.storage.v1.StorageSagaService/*\"]}]}"
#define RESTOCK_LET LETS("\"" STORAGE "Restock\"")
#define STEPS_ARE_OTHERS "rule steps lets others call this, and not spiffe://mesh.test/order-svc"
#define DENIED(method)                                                                             \
    metric_shown(server_metrics,                                                                   \
                 "sagamesh_rpc_server_denied_total{listener=\"public\",method=\"" method "\"}")

static void
policy_set(const char *text)
{
    struct rpc_policy *policy;
    struct problem problem;

    ck_assert_msg(rpc_policy_read(text, strlen(text), rpc_tls_domain(), &problem, &policy) ==
                      ERR_OK,
                  "%s %s", problem.field, problem.text);
    current_set(server_policies, policy);
}

static void
begin_with_policy(void)
{
    struct rpc_tls_settings settings;

    log_open("test", LOG_ERROR);
    certificates_open();
    certificate_make("ca", NULL, "", 10, 1);
    certificate_make("ours", "ca", OURS, 5, 1);
    settings = settings_of("ours");
    ck_assert_int_eq(rpc_tls_open(&settings, NULL, NULL), ERR_OK);
    server_policies = current_new(rpc_policy_free);
    policy_set(RESTOCK_LET);
    set_up_inner();
}

static void
end_with_policy(void)
{
    take_down();
    server_policies = current_free(server_policies);
    rpc_tls_close();
    certificates_close();
}

static void
check_call(const char *method, grpc_status_code code, const char *message)
{
    struct answer answer;
    uint8_t *bytes;
    size_t count = restock_pack("apple", 7, &bytes);

    unary_await(unary_start(method, bytes, count, WAIT_SECONDS * 1000, NULL), &answer);
    ck_assert_msg(answer.code == code, "%s: %d %s", method, answer.code, answer.message);
    if (code == GRPC_STATUS_OK)
        return;
    ck_assert_str_eq(answer.message, message);
    ck_assert_str_eq(answer.info.reason, "NOT_ALLOWED");
    ck_assert(answer.info.nothing_done);
}

START_TEST(a_call_is_let_by_a_rule)
{
    check_call(STORAGE "Restock", GRPC_STATUS_OK, NULL);
    check_call(STORAGE_SAGA "Release", GRPC_STATUS_PERMISSION_DENIED, STEPS_ARE_OTHERS);
    check_call(STORAGE "PutProduct", GRPC_STATUS_PERMISSION_DENIED,
               "no rule lets spiffe://mesh.test/order-svc call this");
    ck_assert_int_eq(atomic_load(&submitted), 1);
    ck_assert(DENIED(STORAGE_SAGA "Release") == 1);
    ck_assert(DENIED(STORAGE "PutProduct") == 1);
    ck_assert(calls_counted(STORAGE_SAGA "Release", "PERMISSION_DENIED") == 1);
}
END_TEST

/* An envelope is for all; each call in it is asked of the policy by its own method. */
START_TEST(a_call_in_an_envelope_is_let_by_a_rule)
{
    static const char *const methods[] = { STORAGE "Restock", STORAGE_SAGA "Release",
                                           STORAGE "Restock" };
    Sagamesh__Batch__V1__CallItem items[3], *pointers[3];
    Sagamesh__Batch__V1__CallRequest request = SAGAMESH__BATCH__V1__CALL_REQUEST__INIT;
    Sagamesh__Batch__V1__CallResponse *response;
    struct rpc_error_info info;
    struct answer answer;
    uint8_t *bytes;
    size_t count;

    for (size_t i = 0; i < 3; i++) {
        sagamesh__batch__v1__call_item__init(&items[i]);
        items[i].method = (char *)(uintptr_t)methods[i];
        items[i].request.len = restock_pack("apple", 7, &items[i].request.data);
        pointers[i] = &items[i];
    }
    request.n_items = 3;
    request.items = pointers;
    bytes = arena_take(arena, sagamesh__batch__v1__call_request__get_packed_size(&request));
    count = sagamesh__batch__v1__call_request__pack(&request, bytes);
    unary_await(
        unary_start("sagamesh.batch.v1.BatchService/Call", bytes, count, WAIT_SECONDS * 1000, NULL),
        &answer);
    ck_assert_msg(answer.code == GRPC_STATUS_OK, "%s", answer.message);
    response = sagamesh__batch__v1__call_response__unpack(NULL, answer.reply_bytes, answer.reply);
    ck_assert_uint_eq(response->n_results, 3);
    ck_assert_ptr_null(response->results[0]->status);
    ck_assert_ptr_null(response->results[2]->status);
    ck_assert_int_eq(response->results[1]->status->code, GRPC_STATUS_PERMISSION_DENIED);
    rpc_status_read(response->results[1]->status, &info);
    ck_assert_str_eq(info.reason, "NOT_ALLOWED");
    ck_assert_str_eq(response->results[1]->status->message, STEPS_ARE_OTHERS);
    ck_assert_int_eq(atomic_load(&submitted), 2);
    ck_assert(DENIED(STORAGE_SAGA "Release") == 1);
    sagamesh__batch__v1__call_response__free_unpacked(response, NULL);
}
END_TEST

START_TEST(a_new_policy_counts_from_the_next_call_on)
{
    for (int i = 0; i < 3; i++) {
        policy_set("{\"rules\": []}");
        check_call(STORAGE "Restock", GRPC_STATUS_PERMISSION_DENIED,
                   "no rule lets spiffe://mesh.test/order-svc call this");
        policy_set(RESTOCK_LET);
        check_call(STORAGE "Restock", GRPC_STATUS_OK, NULL);
    }
}
END_TEST

START_TEST(health_is_for_all_and_reflection_by_a_rule)
{
    static const char reflection[] = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    struct client_call *call;
    struct answer answer;
    size_t count;

    unary("grpc.health.v1.Health/Check", NULL, 0, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_OK);
    call = stream_open("grpc.health.v1.Health/Watch", NULL, 0);
    ck_assert_ptr_nonnull(stream_receive(call, &count));
    stream_cancel(call);
    call = stream_open(reflection, NULL, 0);
    stream_await(call, &answer);
    ck_assert_int_eq(answer.code, GRPC_STATUS_PERMISSION_DENIED);
    ck_assert_str_eq(answer.info.reason, "NOT_ALLOWED");
    policy_set(LETS("\"grpc.reflection.v1.ServerReflection/*\""));
    call = stream_open(reflection, NULL, 0);
    ck_assert_ptr_nonnull(stream_receive(call, &count));
    stream_cancel(call);
}
END_TEST

/* ---- what cannot be used ---- */

/* clang-format off */
static const struct {
    const char *what, *cert, *key, *ca;
    enum error error;
} settings[] = {
    { "nothing",              "",            "",          "",          ERR_OK },
    { "no key",               "good.crt",    "",          "ca.crt",    ERR_BAD_REQUEST },
    { "no CA",                "good.crt",    "good.key",  "",          ERR_BAD_REQUEST },
    { "a CA alone",           "",            "",          "ca.crt",    ERR_BAD_REQUEST },
    { "a file that is away",  "none.crt",    "good.key",  "ca.crt",    ERR_BAD_REQUEST },
    { "a key for a CA",       "good.crt",    "good.key",  "good.key",  ERR_BAD_REQUEST },
    { "another's key",        "good.crt",    "late.key",  "ca.crt",    ERR_BAD_REQUEST },
    { "no identity",          "host.crt",    "host.key",  "ca.crt",    ERR_BAD_REQUEST },
    { "expired",              "late.crt",    "late.key",  "ca.crt",    ERR_BAD_REQUEST },
    { "all is well",          "good.crt",    "good.key",  "ca.crt",    ERR_OK },
};
/* clang-format on */

START_TEST(files_that_cannot_be_used_are_refused)
{
    char cert[512], key[512], ca[512];
    struct rpc_tls_settings given = { cert, key, ca };

    log_open("test", LOG_ERROR + 1);
    certificates_open();
    certificate_make("ca", NULL, "", 10, 1);
    certificate_make("good", "ca", OURS, 5, 1);
    certificate_make("host", "ca", "DNS:order-svc", 5, 1);
    certificate_make("late", "ca", OURS, -1, 1);
    snprintf(cert, sizeof cert, "%s",
             settings[_i].cert[0] == '\0' ? "" : certificate_path(settings[_i].cert));
    snprintf(key, sizeof key, "%s",
             settings[_i].key[0] == '\0' ? "" : certificate_path(settings[_i].key));
    snprintf(ca, sizeof ca, "%s",
             settings[_i].ca[0] == '\0' ? "" : certificate_path(settings[_i].ca));
    ck_assert_msg(rpc_tls_open(&given, NULL, NULL) == settings[_i].error, "%s", settings[_i].what);
    ck_assert(rpc_tls_is_on() == (settings[_i].error == ERR_OK && cert[0] != '\0'));
    rpc_tls_close();
    certificates_close();
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("tls"), *policy = check_case("policy"), *unfit = check_case("files");

    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_loop_test(cases, a_caller_is_let_in_by_its_certificate, 0, ROWS(strangers));
    tcase_add_test(cases, a_plain_caller_is_not_let_in);
    tcase_add_test(cases, a_server_is_believed_by_its_certificate);
    tcase_add_test(cases, older_versions_are_refused);
    tcase_add_test(cases, files_are_replaced_while_calls_go_on);
    tcase_add_test(cases, bad_files_leave_the_good_ones_in_use);
    tcase_add_test(cases, the_port_answers_its_own_probe);
    tcase_add_test(cases, it_is_shown_when_the_certificate_expires);
    tcase_add_checked_fixture(policy, begin_with_policy, end_with_policy);
    tcase_add_test(policy, a_call_is_let_by_a_rule);
    tcase_add_test(policy, a_call_in_an_envelope_is_let_by_a_rule);
    tcase_add_test(policy, a_new_policy_counts_from_the_next_call_on);
    tcase_add_test(policy, health_is_for_all_and_reflection_by_a_rule);
    tcase_add_loop_test(unfit, files_that_cannot_be_used_are_refused, 0, ROWS(settings));
    return check_run("wire_tls", cases, policy, unfit);
}
