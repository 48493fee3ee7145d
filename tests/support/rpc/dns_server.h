/* dns_server.h -- A name server on UDP that answers by script.
 *
 * It has one list of addresses for whatever name is asked. Thread: its own, and the test's.
 */
#ifndef TESTS_SUPPORT_RPC_DNS_SERVER_H
#define TESTS_SUPPORT_RPC_DNS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

enum dns_manner { DNS_ANSWERS, DNS_NO_SUCH_NAME, DNS_SILENT };

struct dns_server {
    int fd;
    pthread_t thread;
    char address[32];  /* "127.0.0.1:5353" */
    atomic_int manner; /* enum dns_manner */
    atomic_int late_ms;
    atomic_int asked; /* for A records */
    pthread_mutex_t lock;
    char addresses[256]; /* "127.0.0.1 ::1"; under lock */
};

void dns_open(struct dns_server *dns, const char *addresses);
void dns_set(struct dns_server *dns, const char *addresses);
void dns_close(struct dns_server *dns);

#endif
