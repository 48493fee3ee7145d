/* broker_bind.h -- The one port of the broker that can be chosen.
 *
 * librdkafka's mock cluster binds an ephemeral port of its own choice and has no call to name one.
 * broker_bind.c has a bind(), which the dynamic linker finds before libc's: it gives the wanted port to the
 * first socket that asks for any.
 *
 * Thread    broker_bind_want: main, right before the cluster is made.
 */
#ifndef SANDBOX_BROKER_BROKER_BIND_H
#define SANDBOX_BROKER_BROKER_BIND_H

#include <netinet/in.h>

void broker_bind_want(in_port_t port); /* network order; 0: none */

#endif
