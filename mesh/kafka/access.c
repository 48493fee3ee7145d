/* access.c -- Settings for librdkafka, made of the flags.
 *
 * A wrong password is no end: the brokers are tried again, as when they are away, and news waits in its database. So an
 * operator is told in the log, and mends the file. */
#include "mesh/kafka/access.h"

#include "mesh/base/arena.h"
#include "mesh/base/clock.h"
#include "mesh/base/file.h"
#include "mesh/base/log.h"
#include "mesh/kafka/conf.h"
#include "mesh/observe/file_watch.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PASSWORD_BYTES_MAX = 255, SAY_SECONDS = 10 };

#define CA_OF_THE_MACHINE "system"

/* clang-format off */
const struct config_key kafka_access_keys[] = {
    { "kafka-tls-ca",         CONFIG_TEXT, "", 0, 0, "PEM file with the CA that Kafka's certificates must be of, with the names of --kafka; system: the machine's CAs; empty: Kafka is plain", offsetof(struct kafka_access_settings, ca) },
    { "kafka-tls-cert",       CONFIG_TEXT, "", 0, 0, "PEM file with this program's certificate for Kafka; empty: it shows none", offsetof(struct kafka_access_settings, cert) },
    { "kafka-tls-key",        CONFIG_TEXT, "", 0, 0, "PEM file with its private key", offsetof(struct kafka_access_settings, key) },
    { "kafka-sasl-mechanism", CONFIG_TEXT, "", 0, 0, "SCRAM-SHA-512, SCRAM-SHA-256, or PLAIN, which needs TLS; empty: no user", offsetof(struct kafka_access_settings, mechanism) },
    { "kafka-user",           CONFIG_TEXT, "", 0, 0, "the user that Kafka knows this program as", offsetof(struct kafka_access_settings, user) },
    { "kafka-password-file",  CONFIG_TEXT, "", 0, 0, "file with the user's password, a line; read again when it changes", offsetof(struct kafka_access_settings, password_file) },
    { 0 },
};
/* clang-format on */

static struct {
    struct kafka_access_settings settings; /* of zeros: it was never opened */
    struct file_watch *files;
    pthread_mutex_t lock;
    char password[PASSWORD_BYTES_MAX + 1]; /* under lock, as the next one */
    uint64_t password_number;
    atomic_int_fast64_t say_us; /* when the log may have the next error */
} self = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* NULL: the program has opened no access, as tests do, and Kafka is plain. */
static bool
is_there(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool
is_mechanism(const char *name)
{
    return strcmp(name, "SCRAM-SHA-512") == 0 || strcmp(name, "SCRAM-SHA-256") == 0 ||
           strcmp(name, "PLAIN") == 0;
}

static enum error
wrong(struct problem *problem, const char *flag, const char *rule)
{
    return problem_set(problem, ERR_BAD_REQUEST, flag, "%s", rule);
}

enum error
kafka_access_check(const struct kafka_access_settings *settings, struct problem *problem)
{
    bool has_tls = is_there(settings->ca), has_sasl = is_there(settings->mechanism);

    if (!has_tls && is_there(settings->cert))
        return wrong(problem, "--kafka-tls-cert", "needs --kafka-tls-ca");
    if (is_there(settings->cert) != is_there(settings->key))
        return wrong(problem, "--kafka-tls-key", "must be given with --kafka-tls-cert");
    if (!has_sasl && (is_there(settings->user) || is_there(settings->password_file)))
        return wrong(problem, "--kafka-user", "needs --kafka-sasl-mechanism");
    if (!has_sasl)
        return ERR_OK;
    if (!is_mechanism(settings->mechanism))
        return wrong(problem, "--kafka-sasl-mechanism",
                     "must be SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN");
    if (strcmp(settings->mechanism, "PLAIN") == 0 && !has_tls)
        return wrong(problem, "--kafka-sasl-mechanism",
                     "PLAIN needs --kafka-tls-ca: it shows the password to all who listen");
    if (!is_there(settings->user))
        return wrong(problem, "--kafka-user", "must be given with --kafka-sasl-mechanism");
    if (!is_there(settings->password_file))
        return wrong(problem, "--kafka-password-file", "must be given with --kafka-sasl-mechanism");
    return ERR_OK;
}

/* The main thread, at the start and when the file changes. */
static enum error
password_read(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct arena *arena = arena_new();
    const char *text =
        file_reads_text(reads, self.settings.password_file, PASSWORD_BYTES_MAX, arena);
    const char *why = file_why_no_secret(text, PASSWORD_BYTES_MAX);
    enum error error = ERR_OK;

    (void)owner;
    if (why != NULL) {
        error = wrong(problem, "--kafka-password-file", why);
    } else {
        pthread_mutex_lock(&self.lock);
        snprintf(self.password, sizeof self.password, "%s", text);
        self.password_number++;
        pthread_mutex_unlock(&self.lock);
    }
    arena_free(arena);
    return error;
}

/* As librdkafka calls it. */
static const char *
protocol(const struct kafka_access_settings *settings)
{
    if (is_there(settings->ca))
        return is_there(settings->mechanism) ? "SASL_SSL" : "SSL";
    return is_there(settings->mechanism) ? "SASL_PLAINTEXT" : "PLAINTEXT";
}

/* The name in the broker's certificate is asked for too: a CA may sign for more than Kafka. */
static void
tls_set(rd_kafka_conf_t *conf, const struct kafka_access_settings *settings)
{
    bool is_of_machine = strcmp(settings->ca, CA_OF_THE_MACHINE) == 0;

    kafka_conf_set(conf, "ssl.ca.location", is_of_machine ? "probe" : settings->ca);
    kafka_conf_set(conf, "ssl.endpoint.identification.algorithm", "https");
    if (is_there(settings->cert)) {
        kafka_conf_set(conf, "ssl.certificate.location", settings->cert);
        kafka_conf_set(conf, "ssl.key.location", settings->key);
    }
}

uint64_t
kafka_access_set(rd_kafka_conf_t *conf)
{
    const struct kafka_access_settings *settings = &self.settings;
    uint64_t number;

    kafka_conf_set(conf, "security.protocol", protocol(settings));
    if (is_there(settings->ca))
        tls_set(conf, settings);
    if (!is_there(settings->mechanism))
        return 0;
    kafka_conf_set(conf, "sasl.mechanism", settings->mechanism);
    kafka_conf_set(conf, "sasl.username", settings->user);
    pthread_mutex_lock(&self.lock);
    kafka_conf_set(conf, "sasl.password", self.password);
    number = self.password_number;
    pthread_mutex_unlock(&self.lock);
    return number;
}

void
kafka_access_renew(rd_kafka_t *handle, uint64_t *password)
{
    rd_kafka_error_t *error = NULL;

    pthread_mutex_lock(&self.lock);
    if (*password != self.password_number) {
        error = rd_kafka_sasl_set_credentials(handle, self.settings.user, self.password);
        *password = self.password_number;
    }
    pthread_mutex_unlock(&self.lock);
    if (error != NULL)
        log_error("event=KAFKA_REFUSED because=\"%s\"", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

void
kafka_access_trouble(int error, const char *because)
{
    int64_t now_us = clock_steady_us(), due_us = atomic_load(&self.say_us);

    if (error != RD_KAFKA_RESP_ERR__AUTHENTICATION && error != RD_KAFKA_RESP_ERR__SSL)
        return;
    if (now_us < due_us ||
        !atomic_compare_exchange_strong(&self.say_us, &due_us, now_us + SAY_SECONDS * SECOND_US))
        return;
    log_error("event=KAFKA_REFUSED because=\"%s\" next=\"%s; it is tried again, and news waits\"",
              because,
              error == RD_KAFKA_RESP_ERR__SSL
                  ? "look at --kafka-tls-ca, and at the names in the broker's certificate"
                  : "look at --kafka-user and --kafka-password-file, which is read again");
}

/* Older ones repeat a part of SCRAM's nonce, which Kafka let pass until 4.0. */
static void
scram_warn(void)
{
    enum { SCRAM_IS_RIGHT = 0x02060100 };

    if (rd_kafka_version() >= SCRAM_IS_RIGHT || strncmp(self.settings.mechanism, "SCRAM", 5) != 0)
        return;
    log_warn("event=KAFKA_SCRAM_OLD librdkafka=%s because=\"Kafka 4 refuses SCRAM of a librdkafka "
             "before 2.6.1\""
             " next=\"with Kafka 4: PLAIN over TLS, or a certificate\"",
             rd_kafka_version_str());
}

/* What librdkafka makes of the files: it reads them when a handle is made. */
static enum error
files_try(void)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *handle;
    char because[512];

    kafka_access_set(conf);
    kafka_conf_set(conf, "log_level", "0"); /* that it has no brokers is meant so */
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, because, sizeof because);
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        log_error("event=KAFKA_ACCESS_REFUSED flag=--kafka-tls-ca because=\"%s\"", because);
        return ERR_BAD_REQUEST;
    }
    rd_kafka_destroy(handle);
    return ERR_OK;
}

enum error
kafka_access_open(const struct kafka_access_settings *settings, struct file_watch *files)
{
    const struct file_owner owner = { "kafka-password", settings->password_file, password_read,
                                      &self };
    struct problem problem = { 0 };
    enum error error = kafka_access_check(settings, &problem);

    if (error != ERR_OK) {
        log_error("event=KAFKA_ACCESS_REFUSED flag=%s because=\"%s\"", problem.field, problem.text);
        return error;
    }
    self.settings = *settings;
    self.files = files;
    if (is_there(settings->mechanism))
        error = file_watch_add(files, &owner);
    if (error == ERR_OK && strcmp(protocol(settings), "PLAINTEXT") != 0)
        error = files_try();
    if (error == ERR_OK)
        scram_warn();
    if (error != ERR_OK)
        kafka_access_close();
    else if (strcmp(protocol(settings), "PLAINTEXT") != 0)
        log_info("event=KAFKA_ACCESS protocol=%s mechanism=%s user=%s", protocol(settings),
                 settings->mechanism, settings->user);
    return error;
}

void
kafka_access_close(void)
{
    file_watch_remove(self.files, &self);
    self.files = NULL;
    self.settings = (struct kafka_access_settings){ 0 };
    explicit_bzero(self.password, sizeof self.password);
}
