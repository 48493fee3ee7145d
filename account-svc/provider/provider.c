#include "account-svc/provider/provider.h"
#include "account-svc/provider/provider_webhook.h"
#include "mesh/ask/ask.h"
#include "mesh/base/file.h"
#include "mesh/base/log.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/key_age.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { SECRET_FILE_BYTES_MAX = 4096, CA_FILE_BYTES_MAX = 1 << 20 };

static const struct provider_adapter *const adapters[] = { &provider_sandbox, &provider_paypay };

static const struct provider_adapter *
adapter_find(const char *name)
{
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
        if (strcmp(adapters[i]->name, name) == 0)
            return adapters[i];
    }
    return NULL;
}

const struct provider *
provider_find(const struct provider_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->providers[i].name, name) == 0)
            return &set->providers[i];
    }
    return NULL;
}

void
provider_ask(const struct provider *provider, enum task_kind kind, const struct payment *payment,
             int64_t now_us, struct arena *arena, struct provider_request *ret_request)
{
    const struct provider_adapter *adapter = provider->adapter;

    memset(ret_request, 0, sizeof *ret_request);
    switch (kind) {
    case TASK_CREATE:
        adapter->create(provider, payment, now_us, arena, ret_request);
        return;
    case TASK_QUERY:
        adapter->query(provider, payment, now_us, arena, ret_request);
        return;
    case TASK_CANCEL:
        adapter->cancel(provider, payment, now_us, arena, ret_request);
        return;
    case TASK_REFUND:
        adapter->refund(provider, payment, now_us, arena, ret_request);
        return;
    case TASK_QUERY_REFUND:
        adapter->query_refund(provider, payment, now_us, arena, ret_request);
        return;
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    abort(); /* nobody leases nothing */
}

/* ---- webhooks ---- */

enum error
provider_source_check(const struct provider *provider, const struct provider_webhook *webhook,
                      struct problem *problem)
{
    char source[SOURCE_TEXT_BYTES];

    if (provider->webhook_addresses.count == 0)
        return ERR_OK;
    source_find(&provider->trusted_proxies, webhook->remote_address,
                provider_header_find(webhook, "x-forwarded-for"), source);
    if (source_list_has(&provider->webhook_addresses, source))
        return ERR_OK;
    return problem_set(problem, ERR_BAD_SIGNATURE, "webhook.remote_address",
                       "webhooks of this provider do not come from there");
}

/* ---- the configuration ---- */

/* Where the configuration is, and what is being read of it. */
struct config {
    const char *path;
    const char *name; /* of the provider; "": it is about the file */
    const json_t *object;
    struct arena *arena;
    struct metrics *metrics;
    struct file_reads *reads;
    struct problem *problem;
};

/* What is wrong, by the provider and the key: "sandbox.api_key_file". Who watches the file logs it, with the path. */
static enum error
config_wrong(const struct config *config, const char *key, const char *why)
{
    char field[64];

    snprintf(field, sizeof field, "%.32s%s%s", config->name,
             config->name[0] == '\0' || key[0] == '\0' ? "" : ".", key);
    return problem_set(config->problem, ERR_BAD_REQUEST, field, "%s", why);
}

static enum error
config_text(const struct config *config, const char *key, char *at, size_t size)
{
    const char *text = provider_text(config->object, key, config->arena);

    if (text == NULL && json_object_get(config->object, key) != NULL)
        return config_wrong(config, key, "must be a text");
    if (text != NULL && strlen(text) >= size)
        return config_wrong(config, key, "is too long");
    snprintf(at, size, "%s", text == NULL ? "" : text);
    return ERR_OK;
}

static char *
config_file(const struct config *config, const char *file)
{
    key_age_show_beside(config->metrics, config->path, file);
    return file_reads_beside(config->reads, config->path, file, SECRET_FILE_BYTES_MAX,
                             config->arena);
}

static enum error
config_key(const struct config *config, struct provider *provider)
{
    const char *file = provider_text(config->object, "api_key_file", config->arena);
    const char *text, *why;

    if (file == NULL)
        return json_object_get(config->object, "api_key_file") == NULL
                   ? ERR_OK
                   : config_wrong(config, "api_key_file", "must be a text");
    text = config_file(config, file);
    why = file_why_no_secret(text, sizeof provider->api_key - 1);
    if (why != NULL)
        return config_wrong(config, "api_key_file", why);
    snprintf(provider->api_key, sizeof provider->api_key, "%s", text);
    return ERR_OK;
}

/* Relative to the configuration, as all its files are. libcurl reads it for each connection. */
static enum error
config_ca(const struct config *config, struct provider *provider)
{
    const char *file = provider_text(config->object, "ca_file", config->arena), *slash;
    int folder_bytes = 0;

    if (file == NULL)
        return json_object_get(config->object, "ca_file") == NULL
                   ? ERR_OK
                   : config_wrong(config, "ca_file", "must be a text");
    slash = strrchr(config->path, '/');
    if (file[0] != '/' && slash != NULL)
        folder_bytes = (int)(slash + 1 - config->path);
    if ((size_t)snprintf(provider->ca_file, sizeof provider->ca_file, "%.*s%s", folder_bytes,
                         config->path, file) >= sizeof provider->ca_file)
        return config_wrong(config, "ca_file", "is too long");
    return file_read(provider->ca_file, CA_FILE_BYTES_MAX, config->arena) == NULL
               ? config_wrong(config, "ca_file", "cannot be read, or is too long")
               : ERR_OK;
}

/* A Standard Webhooks secret is base64; PayPay's is the text itself. */
static enum error
config_secrets(const struct config *config, struct provider *provider)
{
    const json_t *files = json_object_get(config->object, "secret_files");

    if (files != NULL && !json_is_array(files))
        return config_wrong(config, "secret_files", "must be a list of files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *file = json_string_value(json_array_get(files, i));
        const char *text = file == NULL ? NULL : config_file(config, file);
        struct signature_key *secret = &provider->secrets[provider->secret_count];
        const char *why = file_why_no_secret(text, SECRET_FILE_BYTES_MAX);

        if (provider->secret_count == PROVIDER_SECRETS_MAX)
            return config_wrong(config, "secret_files", "are too many");
        if (why != NULL)
            return config_wrong(config, "secret_files", why);
        if (provider->adapter == &provider_paypay && strlen(text) < sizeof secret->bytes) {
            secret->count = strlen(text);
            memcpy(secret->bytes, text, secret->count);
        } else if (!signature_key_read(text, secret)) {
            return config_wrong(config, "secret_files", "must hold 'whsec_' and base64");
        }
        provider->secret_count++;
    }
    return ERR_OK;
}

static enum error
config_sources(const struct config *config, const char *key, struct source_list *list)
{
    const json_t *array = json_object_get(config->object, key), *element;
    size_t i;

    if (array != NULL && !json_is_array(array))
        return config_wrong(config, key, "must be an array of addresses");
    json_array_foreach(array, i, element)
    {
        const char *text = json_string_value(element);

        if (list->count == SOURCE_RANGES_MAX)
            return config_wrong(config, key, "are too many");
        if (text == NULL || !source_range_read(text, &list->ranges[list->count++]))
            return config_wrong(config, key, "must be addresses, like 10.0.0.1 or 10.0.0.0/8");
    }
    return ERR_OK;
}

static enum error
config_provider(const struct config *config, struct provider *provider)
{
    const json_t *rate = json_object_get(config->object, "requests_per_second");
    const char *why;
    char adapter[32];

    if (strlen(config->name) < 1 || strlen(config->name) > PROVIDER_NAME_BYTES_MAX ||
        strpbrk(config->name, " /") != NULL)
        return config_wrong(config, "name", "must have 1 to 32 bytes without space and '/'");
    snprintf(provider->name, sizeof provider->name, "%s", config->name);
    if (config_text(config, "adapter", adapter, sizeof adapter) != ERR_OK)
        return ERR_BAD_REQUEST;
    provider->adapter = adapter_find(adapter);
    if (provider->adapter == NULL)
        return config_wrong(config, "adapter", "there is none of this name");
    if (rate != NULL && (!json_is_integer(rate) || json_integer_value(rate) < 1))
        return config_wrong(config, "requests_per_second", "must be a number above 0");
    provider->requests_per_second = rate == NULL ? 50 : json_integer_value(rate);
    if (config_text(config, "base_url", provider->base_url, sizeof provider->base_url) != ERR_OK ||
        config_text(config, "webhook_url", provider->webhook_url, sizeof provider->webhook_url) !=
            ERR_OK ||
        config_text(config, "merchant_id", provider->merchant_id, sizeof provider->merchant_id) !=
            ERR_OK ||
        config_ca(config, provider) != ERR_OK || config_key(config, provider) != ERR_OK ||
        config_secrets(config, provider) != ERR_OK ||
        config_sources(config, "webhook_addresses", &provider->webhook_addresses) != ERR_OK ||
        config_sources(config, "trusted_proxies", &provider->trusted_proxies) != ERR_OK)
        return ERR_BAD_REQUEST;
    /* What goes there is the key to all payments, what comes back is believed. */
    why = ask_why_not_safe(provider->base_url);
    return why == NULL ? ERR_OK : config_wrong(config, "base_url", why);
}

static enum error
config_providers(struct config *config, const json_t *root, struct provider_set *set)
{
    json_t *providers = json_object_get(root, "providers"), *object;

    if (!json_is_object(providers))
        return config_wrong(config, "providers", "must be an object");
    json_object_foreach(providers, config->name, object)
    {
        config->object = object;
        if (set->count == PROVIDERS_MAX)
            return config_wrong(config, "providers", "are too many");
        if (config_provider(config, &set->providers[set->count]) != ERR_OK)
            return ERR_BAD_REQUEST;
        set->count++;
    }
    return ERR_OK;
}

/* The set as the files have it now. config->reads knows all that were read, also where it fails: a secret that is
 * missing is waited for. */
static enum error
set_read(struct config *config, struct provider_set *set)
{
    const char *text = file_reads_text(config->reads, config->path, 64 << 10, config->arena);
    struct problem problem = { 0 };
    enum error error;
    json_t *root = NULL;

    if (text == NULL)
        return config_wrong(config, "", "cannot be read");
    if (json_read(text, strlen(text), "", &problem, &root) != ERR_OK)
        return config_wrong(config, "", problem.text);
    error = config_providers(config, root, set);
    json_decref(root);
    return error;
}

/* What threads hold pointers to, and count by, stays: lanes and counts of webhooks go by a provider's place, rows of
 * payments by its name, and an adapter that changes would read answers to what another has asked. */
static bool
are_same(const struct provider_set *old, const struct provider_set *new)
{
    bool are = old->count == new->count;

    for (size_t i = 0; are && i < old->count; i++)
        are = strcmp(old->providers[i].name, new->providers[i].name) == 0 &&
              old->providers[i].adapter == new->providers[i].adapter;
    return are;
}

/* Between who puts new contents into a provider and who copies it: few look, and shortly. */
static pthread_mutex_t contents_lock = PTHREAD_MUTEX_INITIALIZER;

/* All but name and adapter, which others look at without the lock, and which are the same in both. Under the lock where
 * others can see to or from. */
static void
contents_take(struct provider *to, const struct provider *from)
{
    enum { FIRST = offsetof(struct provider, base_url) };

    memcpy((char *)to + FIRST, (const char *)from + FIRST, sizeof *to - FIRST);
}

void
provider_copy(const struct provider *provider, struct provider *ret_copy)
{
    memcpy(ret_copy->name, provider->name, sizeof ret_copy->name);
    ret_copy->adapter = provider->adapter;
    pthread_mutex_lock(&contents_lock);
    contents_take(ret_copy, provider);
    pthread_mutex_unlock(&contents_lock);
}

/* A set that was just read takes the place of the one before, or is the first. */
static enum error
set_take(struct provider_set *set, const struct provider_set *new, struct problem *problem)
{
    if (set->is_open && !are_same(set, new))
        return problem_set(problem, ERR_BAD_REQUEST, "providers",
                           "must be the same, in the same order, with the same adapters as at the "
                           "start: others need a restart");
    if (!set->is_open) {
        memcpy(set->providers, new->providers, sizeof set->providers);
        set->count = new->count;
        set->is_open = true;
        return ERR_OK;
    }
    pthread_mutex_lock(&contents_lock);
    for (size_t i = 0; i < set->count; i++)
        contents_take(&set->providers[i], &new->providers[i]);
    pthread_mutex_unlock(&contents_lock);
    return ERR_OK;
}

/* A file_owner's read(). */
static enum error
set_read_again(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct provider_set *set = owner, *new = memory_take(sizeof *new);
    struct arena *arena = arena_new();
    struct config config = { .path = set->path,
                             .name = "",
                             .arena = arena,
                             .metrics = set->metrics,
                             .reads = reads,
                             .problem = problem };
    enum error error = set_read(&config, new);

    if (error == ERR_OK)
        error = set_take(set, new, problem);
    explicit_bzero(new, sizeof *new);
    free(new);
    arena_free(arena);
    return error;
}

/* The first read makes the set, further ones only change what is in it: so pointers to its providers stay good. */
enum error
provider_set_open(const char *path, struct metrics *metrics, struct file_watch *files,
                  struct provider_set **ret_set)
{
    struct provider_set *set = memory_take(sizeof *set);
    const struct file_owner owner = {
        .name = "providers", .path = path, .read = set_read_again, .owner = set
    };
    enum error error;

    set->path = path;
    set->metrics = metrics;
    set->files = files;
    error = path[0] == '\0' ? ERR_OK : file_watch_add(files, &owner);
    if (error != ERR_OK) {
        provider_set_free(set);
        return error;
    }
    *ret_set = set;
    return ERR_OK;
}

struct provider_set *
provider_set_free(struct provider_set *set)
{
    if (set != NULL) {
        file_watch_remove(set->files, set);
        explicit_bzero(set, sizeof *set);
    }
    free(set);
    return NULL;
}
