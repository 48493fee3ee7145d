/* notify.h -- Who is told of alerts, and of which.
 *
 * The configuration is a JSON file (--notify-config):
 *   { "destinations": {
 *       "pager": { "form": "standard-webhooks", "url": "https://pager.example/hook",
 *                  "secret_file": "pager-secret", "severities": ["high"] },
 *       "chat":  { "form": "slack", "url_file": "chat-url", "states": ["raised"] } } }
 * states and severities name what is told; without them all are. A secret is "whsec_" and base64, in a file
 * whose path is relative to the configuration's folder; a URL that is itself a secret, as Slack's are, stands
 * in a file of its own too. URLs are https, except on this machine.
 *
 * Thread    Read in main(); never changed after that, so any thread may look.
 * Memory    A struct notify owns everything in it. Rows are in the arena given, and their texts there or in it.
 * Errors    notify_open() logs what is wrong with the file, and answers BAD_REQUEST.
 */
#ifndef ALERTS_NOTIFY_H
#define ALERTS_NOTIFY_H

#include "alerts/alert_store.h"
#include "mesh/ask/signature.h"

enum {
    NOTIFY_DESTINATIONS_MAX = 16,
    NOTIFY_NAME_BYTES_MAX = 32,
    NOTIFY_SEVERITIES_MAX = 8,
    NOTIFY_SEVERITY_BYTES_MAX = 16,
    NOTIFY_URL_BYTES_MAX = 1024,
};

enum notify_form { NOTIFY_STANDARD_WEBHOOKS, NOTIFY_SLACK };

struct notify_destination {
    char name[NOTIFY_NAME_BYTES_MAX + 1];
    enum notify_form form;
    char url[NOTIFY_URL_BYTES_MAX + 1];
    struct signature_key key; /* of a standard webhook */
    bool is_told_raised, is_told_resolved;
    char severities[NOTIFY_SEVERITIES_MAX][NOTIFY_SEVERITY_BYTES_MAX + 1];
    size_t severity_count; /* 0: all */
};

struct notify {
    struct notify_destination destinations[NOTIFY_DESTINATIONS_MAX];
    size_t count;
};

/* An empty path is a set without destinations. *ret_notify is the caller's to free. */
enum error notify_open(const char *path, struct notify **ret_notify);
struct notify *notify_free(struct notify *notify);

/* NULL: it is configured no more. */
const struct notify_destination *notify_find(const struct notify *notify, const char *name);

/* The notices of an alert that was raised, or resolved: one for each destination that wants it. Returns how
 * many. Made again they are the same. */
size_t notify_rows(const struct notify *notify, struct uuid alert_id, const char *severity,
                   bool is_raised, int64_t now_us, struct arena *arena,
                   struct notice_row **ret_rows);

#endif
