/* notify.c -- The file of destinations, read key by key, and which of them an alert concerns. */
#include "alerts/notify.h"
#include "mesh/ask/ask.h"
#include "mesh/base/file.h"
#include "mesh/base/json.h"
#include "mesh/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 64 << 10, SECRET_BYTES_MAX = 4096 };

/* Where the configuration is, and what is being read of it. */
struct config {
    const char *path;
    const char *name; /* of the destination */
    const json_t *object;
    struct arena *arena;
};

/* Never with a value: it may be a secret. */
static enum error
config_wrong(const struct config *config, const char *key, const char *why)
{
    log_error("destination=%s key=%s file=%s because=\"%s\"", config->name, key, config->path, why);
    return ERR_BAD_REQUEST;
}

/* A key that is misspelt would else say nothing, and its destination hear too much, or nothing. */
static enum error
config_keys(const struct config *config)
{
    static const char *const known[] = { "form",   "url",        "url_file", "secret_file",
                                         "states", "severities", NULL };
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)config->object, key, value)
    {
        size_t i = 0;

        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return config_wrong(config, key, "there is no such key");
    }
    return ERR_OK;
}

static enum error
config_form(const struct config *config, struct notify_destination *destination)
{
    const char *form = json_string_value(json_object_get(config->object, "form"));

    if (form != NULL && strcmp(form, "standard-webhooks") == 0)
        destination->form = NOTIFY_STANDARD_WEBHOOKS;
    else if (form != NULL && strcmp(form, "slack") == 0)
        destination->form = NOTIFY_SLACK;
    else
        return config_wrong(config, "form", "must be standard-webhooks or slack");
    return ERR_OK;
}

/* A key's text, or the secret in the file that it names. */
static const char *
config_secret(const struct config *config, const char *key, const char **ret_why)
{
    const char *file = json_string_value(json_object_get(config->object, key)), *text;

    if (file == NULL) {
        *ret_why = "must be the name of a file";
        return NULL;
    }
    text = file_read_beside(config->path, file, SECRET_BYTES_MAX, config->arena);
    *ret_why = file_why_no_secret(text, SECRET_BYTES_MAX);
    return *ret_why == NULL ? text : NULL;
}

static enum error
config_url(const struct config *config, struct notify_destination *destination)
{
    bool is_in_file = json_object_get(config->object, "url_file") != NULL;
    const char *key = is_in_file ? "url_file" : "url", *why = "must be a text";
    const char *url = is_in_file ? config_secret(config, key, &why)
                                 : json_string_value(json_object_get(config->object, key));

    if (is_in_file && json_object_get(config->object, "url") != NULL)
        return config_wrong(config, "url", "must not stand beside url_file");
    if (url == NULL)
        return config_wrong(config, key, why);
    if (strlen(url) > NOTIFY_URL_BYTES_MAX)
        return config_wrong(config, key, "is too long");
    why = ask_why_not_safe(url);
    if (why != NULL)
        return config_wrong(config, key, why);
    snprintf(destination->url, sizeof destination->url, "%s", url);
    return ERR_OK;
}

static enum error
config_key(const struct config *config, struct notify_destination *destination)
{
    const char *text, *why = NULL;

    if (destination->form == NOTIFY_SLACK)
        return json_object_get(config->object, "secret_file") == NULL
                   ? ERR_OK
                   : config_wrong(config, "secret_file", "is of standard-webhooks alone");
    text = config_secret(config, "secret_file", &why);
    if (text == NULL)
        return config_wrong(config, "secret_file", why);
    if (!signature_key_read(text, &destination->key))
        return config_wrong(config, "secret_file", "must hold 'whsec_' and base64");
    return ERR_OK;
}

static enum error
config_states(const struct config *config, struct notify_destination *destination)
{
    const json_t *states = json_object_get(config->object, "states"), *state;
    size_t i;

    destination->is_told_raised = destination->is_told_resolved = states == NULL;
    if (states != NULL && (!json_is_array(states) || json_array_size(states) == 0))
        return config_wrong(config, "states", "must be a list of raised, resolved");
    json_array_foreach(states, i, state)
    {
        const char *word = json_string_value(state);

        if (word != NULL && strcmp(word, "raised") == 0)
            destination->is_told_raised = true;
        else if (word != NULL && strcmp(word, "resolved") == 0)
            destination->is_told_resolved = true;
        else
            return config_wrong(config, "states", "must be a list of raised, resolved");
    }
    return ERR_OK;
}

static enum error
config_severities(const struct config *config, struct notify_destination *destination)
{
    const json_t *severities = json_object_get(config->object, "severities"), *severity;
    size_t i;

    if (severities != NULL && (!json_is_array(severities) || json_array_size(severities) == 0))
        return config_wrong(config, "severities", "must be a list of words");
    json_array_foreach(severities, i, severity)
    {
        const char *word = json_string_value(severity);

        if (i == NOTIFY_SEVERITIES_MAX)
            return config_wrong(config, "severities", "are too many");
        if (word == NULL || strlen(word) > NOTIFY_SEVERITY_BYTES_MAX || word[0] == '\0')
            return config_wrong(config, "severities", "must be words of 1 to 16 bytes");
        snprintf(destination->severities[destination->severity_count++],
                 NOTIFY_SEVERITY_BYTES_MAX + 1, "%s", word);
    }
    return ERR_OK;
}

static enum error
config_destination(const struct config *config, struct notify_destination *destination)
{
    size_t bytes = strlen(config->name);

    if (bytes < 1 || bytes > NOTIFY_NAME_BYTES_MAX || strpbrk(config->name, " /\"") != NULL)
        return config_wrong(config, "name", "must have 1 to 32 bytes without space, '/' and '\"'");
    snprintf(destination->name, sizeof destination->name, "%s", config->name);
    if (!json_is_object(config->object))
        return config_wrong(config, "", "must be an object");
    if (config_keys(config) != ERR_OK || config_form(config, destination) != ERR_OK ||
        config_url(config, destination) != ERR_OK || config_key(config, destination) != ERR_OK ||
        config_states(config, destination) != ERR_OK)
        return ERR_BAD_REQUEST;
    return config_severities(config, destination);
}

static enum error
config_destinations(struct config *config, const json_t *root, struct notify *notify)
{
    json_t *destinations = json_object_get(root, "destinations"), *object;

    if (!json_is_object(destinations))
        return config_wrong(config, "destinations", "must be an object");
    json_object_foreach(destinations, config->name, object)
    {
        config->object = object;
        if (notify->count == NOTIFY_DESTINATIONS_MAX)
            return config_wrong(config, "destinations", "are too many");
        if (config_destination(config, &notify->destinations[notify->count]) != ERR_OK)
            return ERR_BAD_REQUEST;
        notify->count++;
    }
    return ERR_OK;
}

enum error
notify_open(const char *path, struct notify **ret_notify)
{
    struct notify *notify = memory_take(sizeof *notify);
    struct arena *arena = arena_new();
    struct config config = { .path = path, .name = "", .arena = arena };
    struct problem problem = { 0 };
    enum error error = ERR_OK;
    json_t *root = NULL;

    if (path[0] != '\0') {
        const char *text = file_read(path, CONFIG_BYTES_MAX, arena);

        if (text == NULL)
            error = config_wrong(&config, "", "cannot be read");
        else if (json_read(text, strlen(text), "", &problem, &root) != ERR_OK)
            error = config_wrong(&config, "", problem.text);
        else
            error = config_destinations(&config, root, notify);
    }
    json_decref(root);
    arena_free(arena);
    *ret_notify = error == ERR_OK ? notify : notify_free(notify);
    return error;
}

struct notify *
notify_free(struct notify *notify)
{
    if (notify != NULL)
        explicit_bzero(notify, sizeof *notify);
    free(notify);
    return NULL;
}

const struct notify_destination *
notify_find(const struct notify *notify, const char *name)
{
    for (size_t i = 0; i < notify->count; i++) {
        if (strcmp(notify->destinations[i].name, name) == 0)
            return &notify->destinations[i];
    }
    return NULL;
}

static bool
is_told(const struct notify_destination *destination, const char *severity, bool is_raised)
{
    if (!(is_raised ? destination->is_told_raised : destination->is_told_resolved))
        return false;
    for (size_t i = 0; i < destination->severity_count; i++) {
        if (strcmp(destination->severities[i], severity) == 0)
            return true;
    }
    return destination->severity_count == 0;
}

size_t
notify_rows(const struct notify *notify, struct uuid alert_id, const char *severity, bool is_raised,
            int64_t now_us, struct arena *arena, struct notice_row **ret_rows)
{
    struct notice_row *rows = arena_take(arena, notify->count * sizeof *rows);
    const char *state = is_raised ? "raised" : "resolved";
    char id[UUID_TEXT_BYTES + 1];
    size_t count = 0;

    uuid_print(alert_id, id);
    for (size_t i = 0; i < notify->count; i++) {
        const struct notify_destination *destination = &notify->destinations[i];

        if (!is_told(destination, severity, is_raised))
            continue;
        rows[count++] = (struct notice_row){ .key = arena_print(arena, "%s/%s/%s", id, state,
                                                                destination->name),
                                             .alert_id = alert_id,
                                             .state = state,
                                             .destination = destination->name,
                                             .made_us = now_us };
    }
    *ret_rows = rows;
    return count;
}
