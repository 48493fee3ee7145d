/* provider.h -- Payment providers: what is configured of each, and its adapter as a row of a table.
 *
 * An adapter turns a task into an HTTP request, an answer into an observation, and a webhook into an
 * observation that is to be believed (signed) or only a reason to ask (not signed). It does no I/O.
 *
 * The configuration is a JSON file (--provider-config):
 *   { "providers": { "sandbox": { "adapter": "sandbox", "base_url": "http://127.0.0.1:7501",
 *       "api_key_file": "key", "secret_files": ["whsec-new", "whsec-old"],
 *       "webhook_url": "http://127.0.0.1:7502/webhooks/sandbox",
 *       "merchant_id": "", "requests_per_second": 50 } } }
 * Secrets come from files, whose paths are relative to the configuration's folder. The name of a
 * provider is the last part of its webhooks' path. All secrets listed are active; one that is taken
 * out is revoked. requests_per_second is of each process. base_url is https, except on this machine.
 *
 * "webhook_addresses": ["13.112.237.64", "10.0.0.0/8"] are the only ones from which webhooks are taken, for
 * providers that do not sign; without them, from all. Behind proxies their addresses are named in
 * "trusted_proxies", and X-Forwarded-For tells the source (provider_source.h).
 *
 * The files are watched (mesh/observe/file_watch.h): new keys, secrets, addresses and rates are taken while the program
 * runs. Which providers there are, in which order and with which adapters, is not: that needs a restart.
 *
 * Thread    open, free: main. Of a provider in a set any thread may look at name and adapter, which stay. All else may
 *           change at any time: who needs it makes a copy, provider_copy(), and uses that.
 * Memory    A set of providers owns everything in it; providers stay where they are. What an adapter fills is in the
 *           arena given.
 * Errors    provider_set_open() logs what is wrong with a file, by field and rule, and answers BAD_REQUEST.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include "account-svc/payment/payment.h"
#include "account-svc/provider/provider_source.h"
#include "mesh/ask/signature.h"
#include "mesh/base/json_pick.h"

enum {
    PROVIDER_SECRETS_MAX = 8,
    PROVIDER_HEADERS_MAX = 8,
    PROVIDER_ANSWER_BYTES_MAX = 256 << 10,
    PROVIDER_WORDS_BYTES_MAX = 150,
};

struct file_watch;
struct metrics;
struct provider_adapter;

struct provider {
    char name[PROVIDER_NAME_BYTES_MAX + 1];
    const struct provider_adapter *adapter;
    char base_url[512]; /* from here on it may change */
    char webhook_url[512];
    char
        ca_file[1024]; /* of the CAs that its certificate must be of; empty: those of the machine */
    char api_key[256];
    char merchant_id[64];
    struct signature_key secrets[PROVIDER_SECRETS_MAX];
    size_t secret_count;
    int64_t requests_per_second;
    struct source_list webhook_addresses, trusted_proxies;
};

struct provider_set {
    struct provider providers[PROVIDERS_MAX];
    size_t count;
    const char *path;
    struct metrics *metrics;
    struct file_watch *files;
    bool is_open; /* it was read once */
};

/* An empty path is a set without providers. metrics NULL: nothing is counted. files NULL: it is read once. *ret_set is
 * the caller's to free; path must live as long. */
enum error provider_set_open(const char *path, struct metrics *metrics, struct file_watch *files,
                             struct provider_set **ret_set);
struct provider_set *provider_set_free(struct provider_set *set);
const struct provider *provider_find(const struct provider_set *set, const char *name);

/* As it is configured now. */
void provider_copy(const struct provider *provider, struct provider *ret_copy);

/* ---- requests ---- */

struct provider_request {
    const char *method; /* "POST" */
    const char *url;
    const char *headers[PROVIDER_HEADERS_MAX]; /* "Name: value" */
    size_t header_count;
    const char *body; /* NULL: none */
};

/* An HTTP answer in full. */
struct provider_answer {
    int status;
    const char *body;
    size_t body_bytes;
};

/* ---- webhooks ---- */

struct provider_header {
    const char *name, *value;
};

/* A webhook as it came in. */
struct provider_webhook {
    const struct provider_header *headers;
    size_t header_count;
    const uint8_t *body;
    size_t body_bytes;
    const char *remote_address;
};

/* May it come from there? Always, where no addresses are configured; else *problem is filled. */
enum error provider_source_check(const struct provider *provider,
                                 const struct provider_webhook *webhook, struct problem *problem);

/* What it says. */
struct provider_heard {
    const char *event_id;   /* by which it is known again; NULL when it is not verified */
    bool is_of_payment;     /* it speaks of a payment; else of something that is not about us */
    struct uuid payment_id; /* nil: of none, or of one that cannot be ours */
    bool is_verified;       /* false: a query is due */
    struct observation observation;
};

struct provider_adapter {
    const char *name;
    const struct status_word *words; /* what its words for how a payment stands say */
    const struct pace *pace;         /* how often it is asked how a payment stands */
    const char *currencies;          /* that it takes, with spaces between; NULL: its own to say */
    /* Each fills a request for one task; NULL body fields stay NULL. */
    void (*create)(const struct provider *provider, const struct payment *payment, int64_t now_us,
                   struct arena *arena, struct provider_request *ret_request);
    void (*query)(const struct provider *provider, const struct payment *payment, int64_t now_us,
                  struct arena *arena, struct provider_request *ret_request);
    void (*cancel)(const struct provider *provider, const struct payment *payment, int64_t now_us,
                   struct arena *arena, struct provider_request *ret_request);
    void (*refund)(const struct provider *provider, const struct payment *payment, int64_t now_us,
                   struct arena *arena, struct provider_request *ret_request);
    /* Asks how the refund stands that was sent under the payment's id. */
    void (*query_refund)(const struct provider *provider, const struct payment *payment,
                         int64_t now_us, struct arena *arena, struct provider_request *ret_request);
    /* What an answer to a task says, and the provider's words beside it. A refund is KNOWN when the
     * provider says that ours, of what was left, is done: any other good answer is UNKNOWN. An answer with
     * a good status that cannot be understood is UNKNOWN with observation->unreadable. */
    enum outcome (*read)(const struct payment *payment, enum task_kind kind,
                         const struct provider_answer *answer, struct arena *arena,
                         struct observation *ret_observation);
    /* Verifies and reads a webhook. BAD_SIGNATURE or BAD_REQUEST: nothing is to be stored. */
    enum error (*hear)(const struct provider *provider, const struct provider_webhook *webhook,
                       int64_t now_us, struct arena *arena, struct problem *problem,
                       struct provider_heard *ret_heard);
};

extern const struct provider_adapter provider_sandbox, provider_paypay;

/* The request of a task. */
void provider_ask(const struct provider *provider, enum task_kind kind,
                  const struct payment *payment, int64_t now_us, struct arena *arena,
                  struct provider_request *ret_request);

/* ---- for adapters ---- */

/* The value of the only header of that name, in any case; NULL when it is missing or comes twice. */
const char *provider_header_find(const struct provider_webhook *webhook, const char *name);

/* The wanted members of an answer, to be freed. NULL: it is none, and where its status is good
 * observation->unreadable says why. */
json_t *provider_answer_pick(const struct provider_answer *answer, const struct json_want *wanted,
                             struct arena *arena, struct observation *observation);

/* As the answer to a task that says nothing, though its status is good. UNKNOWN. */
enum outcome provider_unreadable(struct observation *observation, const char *why);

/* A text of theirs for the log and for persons, in arena: at most PROVIDER_WORDS_BYTES_MAX bytes, without what moves
 * a terminal's cursor or ends a quoted text. NULL stays NULL. */
const char *provider_clean(const char *text, struct arena *arena);

/* Fills observed, and what goes with it, from the adapter's word of that name; else it stays NONE. */
void provider_status(const struct provider_adapter *adapter, const char *word,
                     struct observation *observation);

/* A member of an object as text in arena, or NULL. A number is no text. */
const char *provider_text(const json_t *object, const char *key, struct arena *arena);

/* An amount: a JSON integer is minor units; a text is decimal in the currency's own unit, with no
 * more digits after the point than the currency has ("925" JPY, "9.25" EUR). False: it is neither, or
 * below 0, or past 10^15. A JSON real is never an amount. */
bool provider_amount(const json_t *value, const char *currency, int64_t *ret_minor);

/* What an HTTP status says of a request that may or may not have been done. KNOWN: read the body. */
enum outcome provider_status_outcome(int status);

#endif
