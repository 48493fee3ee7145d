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
#include "mesh/base/log.h"
#include "mesh/http/https.h"
#include "mesh/program.h"
#include "sandbox/provider/provider_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_BYTES_MAX = 4096 };

struct settings {
    const char *listen, *api_key_file, *secret_file, *webhook_url, *webhook_ca_file, *state,
        *public_url;
    int64_t seed, fault_rate;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",              CONFIG_TEXT, "127.0.0.1:0", 0, 0, "address to serve at; port 0 picks a free one", offsetof(struct settings, listen) },
    { "api-key-file",        CONFIG_TEXT, NULL, 0, 0,         "file with the key that merchants show as a Bearer token", offsetof(struct settings, api_key_file) },
    { "webhook-secret-file", CONFIG_TEXT, NULL, 0, 0,         "file with whsec_ secrets, one a line; all sign", offsetof(struct settings, secret_file) },
    { "webhook-url",         CONFIG_TEXT, "",   0, 0,         "where webhooks go when a payment does not say; empty: nowhere", offsetof(struct settings, webhook_url) },
    { "webhook-ca-file",     CONFIG_TEXT, "",   0, 0,         "PEM file with the CAs that receivers of webhooks have certificates of; empty: the machine's", offsetof(struct settings, webhook_ca_file) },
    { "public-url",          CONFIG_TEXT, "",   0, 0,         "what checkout URLs begin with; empty: http(s)://127.0.0.1:PORT", offsetof(struct settings, public_url) },
    { "state",               CONFIG_TEXT, "",   0, 0,         "file that keeps the books; empty: none", offsetof(struct settings, state) },
    { "seed",                CONFIG_INT,  "1",  0, INT64_MAX, "chooses the faults of --fault-rate", offsetof(struct settings, seed) },
    { "fault-rate",          CONFIG_INT,  "0",  0, 100,       "of 100 payments, how many get a fault", offsetof(struct settings, fault_rate) },
    { 0 },
};
/* clang-format on */

struct sandbox {
    struct settings settings;
    struct https_settings https_settings;
    struct https *https; /* NULL: plain */
    struct provider provider;
    struct webhook_secrets secrets;
    struct http_server *server;
};

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

/* Once, at the start: the sandbox is restarted for other secrets. */
static bool
secrets_load(struct sandbox *sandbox)
{
    const struct settings *settings = &sandbox->settings;
    char *api_key = sandbox->provider.api_key;
    char text[FILE_BYTES_MAX];
    size_t bytes;

    if (!file_read(settings->api_key_file, text))
        return false;
    bytes = strcspn(text, "\r\n");
    if (bytes == 0 || bytes >= sizeof sandbox->provider.api_key) {
        log_error("file=%s because=\"there is no API key in it\"", settings->api_key_file);
        return false;
    }
    memcpy(api_key, text, bytes);
    if (!file_read(settings->secret_file, text))
        return false;
    if (!webhook_secrets_read(text, &sandbox->secrets)) {
        log_error("file=%s because=\"must hold 1 to %d lines of whsec_ and base64\"",
                  settings->secret_file, SECRETS_MAX);
        return false;
    }
    return true;
}

/* Checkout URLs have the server's port, so the desk starts last; calls wait for it. */
static enum error
open_server(struct sandbox *sandbox, const struct ops *ops)
{
    const struct settings *settings = &sandbox->settings;
    struct desk *desk = &sandbox->provider.desk;
    struct provider_tables tables = provider_tables(&sandbox->provider);
    struct http_server_options options = {
        .listen = settings->listen, .tables = tables.of, .metrics = ops->metrics, .name = "api"
    };
    enum error error =
        https_open(&sandbox->https_settings, ops->metrics, ops->files, &sandbox->https);

    if (error != ERR_OK)
        return error;
    options.https = sandbox->https;
    desk->metrics = ops->metrics;
    desk->books = books_new(settings->seed, settings->fault_rate, settings->webhook_url);
    error = journal_open(settings->state, desk->books, &desk->journal);
    if (error != ERR_OK)
        return error;
    desk_open(desk);
    desk->webhook_ca_file = settings->webhook_ca_file;
    error = http_server_open(&options, &sandbox->server);
    if (error != ERR_OK)
        return error;
    if (settings->public_url[0] != '\0')
        snprintf(desk->base_url, sizeof desk->base_url, "%s", settings->public_url);
    else
        snprintf(desk->base_url, sizeof desk->base_url, "%s://127.0.0.1:%d",
                 sandbox->https == NULL ? "http" : "https", http_server_port(sandbox->server));
    log_info("serving=%s payments=%zu", desk->base_url,
             (size_t)HASH_CNT(by_id, desk->books->payments));
    desk_start(desk, &sandbox->secrets);
    return ERR_OK;
}

/* ---- the program ---- */

static enum error
open_all(void *owner, const struct ops *ops)
{
    struct sandbox *sandbox = owner;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    return secrets_load(sandbox) ? open_server(sandbox, ops) : ERR_BAD_REQUEST;
}

static bool
is_ready(void *owner, int ret_ports[PROGRAM_PORTS_MAX])
{
    ret_ports[0] = http_server_port(((struct sandbox *)owner)->server);
    return true;
}

static void
close_all(void *owner, int drain_ms)
{
    struct sandbox *sandbox = owner;
    struct desk *desk = &sandbox->provider.desk;

    http_server_stop(sandbox->server, drain_ms);
    http_server_close(sandbox->server);
    https_close(sandbox->https);
    desk_close(desk);
    journal_close(desk->journal);
    books_free(desk->books);
    curl_global_cleanup();
}

int
main(int argc, char **argv)
{
    struct sandbox sandbox = { 0 };
    const struct config_table tables[] = { { keys, &sandbox.settings },
                                           { https_keys, &sandbox.https_settings },
                                           { 0 } };
    const struct program program = {
        .name = "sandbox-provider",
        .usage = "sandbox-provider: a payment provider for a laptop; no money moves",
        .tables = tables,
        .drain_ms = "1000",
        .owner = &sandbox,
        .open = open_all,
        .is_ready = is_ready,
        .close = close_all,
    };

    return program_main(argc, argv, &program);
}
