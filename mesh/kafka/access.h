/* access.h -- How this process is let in by Kafka: TLS with the broker's CA, SASL with a user and a password.
 *
 * All producers and consumers of a process have the same access, so it is in one place and in no options. Without flags
 * it is plain. The password is read again when its file changes; the CA and the certificate when a producer or consumer
 * is made, for librdkafka has no call that replaces them.
 *
 * Thread    kafka_access_open, kafka_access_close: main, before the first producer or consumer and after the last. The others: any.
 * Memory    The settings' texts must live until kafka_access_close().
 * Errors    Flags that do not go together, and files that cannot be used, are logged with the flag and the rule:
 *           ERR_BAD_REQUEST.
 */
#ifndef MESH_KAFKA_ACCESS_H
#define MESH_KAFKA_ACCESS_H

#include "mesh/base/config.h"
#include "mesh/base/error.h"

#include <stdint.h>

struct file_watch;
typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;

struct kafka_access_settings {
    const char *ca, *cert, *key;                  /* paths of PEM files; ca "" : no TLS */
    const char *mechanism, *user, *password_file; /* mechanism "": no SASL */
};

extern const struct config_key kafka_access_keys[]; /* of struct kafka_access_settings */

/* Do the settings go together? The files are not read. ERR_BAD_REQUEST: problem has the flag and the rule. */
enum error kafka_access_check(const struct kafka_access_settings *settings,
                              struct problem *problem);

/* files NULL: the password is not read again. */
enum error kafka_access_open(const struct kafka_access_settings *settings,
                             struct file_watch *files);
void kafka_access_close(void);

/* For a producer or consumer that is about to be made. Returns which password it has. */
uint64_t kafka_access_set(rd_kafka_conf_t *conf);

/* For one that lives: with another password than *password it is given the new one. */
void kafka_access_renew(rd_kafka_t *handle, uint64_t *password);

/* What librdkafka says of connections. That we are not let in is an error of the log, now and then. */
void kafka_access_trouble(int error, const char *because);

#endif
