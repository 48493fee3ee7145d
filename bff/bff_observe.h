/* bff_observe.h -- What those who watch over bff are shown, beyond what its HTTP servers count themselves.
 *
 * Thread    Main.
 */
#ifndef BFF_OBSERVE_H
#define BFF_OBSERVE_H

#include "bff/bff.h"

/* The services behind, as they are shown. */
extern const char *const observe_names[BFF_SERVICE_COUNT];

/* What the process shows of its clients and its clock: once those are open. */
void observe_open(struct bff *bff);

/* Asks every service whether it serves. Once a second. */
void observe_ask(struct bff *bff);

/* After the servers are closed, before clients and clock are. */
void observe_close(struct bff *bff);

#endif
