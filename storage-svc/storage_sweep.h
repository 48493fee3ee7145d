/* storage_sweep.h -- The service's task that expires holds. Runs on the keeper thread. */
#ifndef STORAGE_SWEEP_H
#define STORAGE_SWEEP_H

#include "mesh/service.h"

enum error storage_sweep_run(struct service *service, struct pg *pg, struct arena *arena);

#endif
