/* sandbox-provider -- A payment provider for a laptop and for tests, with faults on demand.
 *
 *   provider_http.c     the routes: the merchant's API, the checkout page, the tests' own
 *   provider_desk.c     the one thread that has the books
 *   provider_books.c    the rules: a payment's life, refunds, what is said about it
 *   provider_fault.c    what can go wrong: a table
 *   provider_record.c   payments as JSON
 *   provider_page.c     the checkout page
 *   provider_journal.c  the books in a file
 *   provider_webhook.c  signs webhooks and sends them
 *
 * No money moves here. It listens on loopback and is not meant for anything else.
 */
#include "mesh/base/config.h"
#include "mesh/base/log.h"
#include "sandbox/provider/provider_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { GRACE_MS = 1000, FILE_BYTES_MAX = 4096 };

struct settings {
    const char *listen, *ready_file, *api_key_file, *secret_file, *webhook_url, *state, *public_url;
    int64_t seed, fault_rate;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",              CONFIG_TEXT, "127.0.0.1:0", 0, 0, "address to serve at; port 0 picks a free one", offsetof(struct settings, listen) },
    { "ready-file",          CONFIG_TEXT, "",   0, 0,         "file to write the port into once it serves", offsetof(struct settings, ready_file) },
    { "api-key-file",        CONFIG_TEXT, NULL, 0, 0,         "file with the key that merchants show as a Bearer token", offsetof(struct settings, api_key_file) },
    { "webhook-secret-file", CONFIG_TEXT, NULL, 0, 0,         "file with whsec_ secrets, one a line; all sign", offsetof(struct settings, secret_file) },
    { "webhook-url",         CONFIG_TEXT, "",   0, 0,         "where webhooks go when a payment does not say; empty: nowhere", offsetof(struct settings, webhook_url) },
    { "public-url",          CONFIG_TEXT, "",   0, 0,         "what checkout URLs begin with; empty: http://127.0.0.1:PORT", offsetof(struct settings, public_url) },
    { "state",               CONFIG_TEXT, "",   0, 0,         "file that keeps the books; empty: none", offsetof(struct settings, state) },
    { "seed",                CONFIG_INT,  "1",  0, INT64_MAX, "chooses the faults of --fault-rate", offsetof(struct settings, seed) },
    { "fault-rate",          CONFIG_INT,  "0",  0, 100,       "of 100 payments, how many get a fault", offsetof(struct settings, fault_rate) },
    { 0 },
};
/* clang-format on */

static struct settings settings;
static struct provider provider;
static struct webhook_secrets secrets;

static bool
file_read(const char *path, char text[FILE_BYTES_MAX])
{
    FILE *file = fopen(path, "re");
    size_t bytes;

    if (file == NULL) {
        log_error("file=%s because=\"%s\"", path, strerror(errno));
        return false;
    }
    bytes = fread(text, 1, FILE_BYTES_MAX - 1, file);
    text[bytes] = '\0';
    fclose(file);
    return true;
}

static bool
secrets_load(void)
{
    char text[FILE_BYTES_MAX];
    size_t bytes;

    if (!file_read(settings.api_key_file, text))
        return false;
    bytes = strcspn(text, "\r\n");
    if (bytes == 0 || bytes >= sizeof provider.api_key) {
        log_error("file=%s because=\"there is no API key in it\"", settings.api_key_file);
        return false;
    }
    memcpy(provider.api_key, text, bytes);
    if (!file_read(settings.secret_file, text))
        return false;
    if (!webhook_secrets_read(text, &secrets)) {
        log_error("file=%s because=\"must hold 1 to %d lines of whsec_ and base64\"",
                  settings.secret_file, SECRETS_MAX);
        return false;
    }
    return true;
}

static bool
ready_file_write(int port)
{
    char temporary[4096];
    FILE *file;

    if (settings.ready_file[0] == '\0')
        return true;
    snprintf(temporary, sizeof temporary, "%s.new", settings.ready_file);
    file = fopen(temporary, "we");
    if (file == NULL || fprintf(file, "%d\n", port) < 0 || fclose(file) != 0 ||
        rename(temporary, settings.ready_file) != 0) {
        log_error("ready_file=%s because=\"cannot be written\"", settings.ready_file);
        return false;
    }
    return true;
}

/* Checkout URLs have the server's port, so the desk starts last; calls wait for it. */
static bool
provider_open(struct http_server **ret_server)
{
    struct desk *desk = &provider.desk;
    struct http_server_options options = { .listen = settings.listen,
                                           .routes = provider_routes(),
                                           .owner = &provider };

    desk->books = books_new(settings.seed, settings.fault_rate, settings.webhook_url);
    if (journal_open(settings.state, desk->books, &desk->journal) != ERR_OK)
        return false;
    desk_open(desk);
    if (http_server_open(&options, ret_server) != ERR_OK)
        return false;
    if (settings.public_url[0] != '\0')
        snprintf(desk->base_url, sizeof desk->base_url, "%s", settings.public_url);
    else
        snprintf(desk->base_url, sizeof desk->base_url, "http://127.0.0.1:%d",
                 http_server_port(*ret_server));
    log_info("serving=%s payments=%zu", desk->base_url, desk->books->payment_count);
    desk_start(desk, &secrets);
    return true;
}

int
main(int argc, char **argv)
{
    const struct config_table table = { keys, &settings };
    struct http_server *server;
    sigset_t signals;
    int signal_number;

    config_read(argc, argv, "sandbox-provider: a payment provider for a laptop; no money moves",
                &table, 1);
    log_open("sandbox-provider", LOG_INFO);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (!secrets_load() || !provider_open(&server))
        return 1;
    if (!ready_file_write(http_server_port(server)))
        return 1;
    sigwait(&signals, &signal_number);
    http_server_stop(server, GRACE_MS);
    http_server_close(server);
    desk_close(&provider.desk);
    journal_close(provider.desk.journal);
    books_free(provider.desk.books);
    curl_global_cleanup();
    return 0;
}
