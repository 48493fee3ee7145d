/* instance_inner.h -- What instance.c, which folds, and instance_row.c, which reads and writes, share. */
#ifndef SAGA_ENGINE_INSTANCE_INNER_H
#define SAGA_ENGINE_INSTANCE_INNER_H

#include "saga/engine/instance.h"

/* A zeroed step at the end, and the current one. */
struct step *instance_step_add(struct instance *instance);

/* It goes to participants in a header: what is no trace is none. */
void instance_trace(struct instance *instance, const char *traceparent);

#endif
