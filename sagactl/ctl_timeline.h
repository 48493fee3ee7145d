/* ctl_timeline.h -- A saga and its steps, as a table or as JSON. */
#ifndef CTL_TIMELINE_H
#define CTL_TIMELINE_H

#include "mesh/base/json.h"
#include "sagactl/ctl_text.h"

/* A line a step: what was called, when after the start, and for how long. */
void ctl_timeline_print(const Sagamesh__Saga__V1__GetResponse *saga, struct arena *arena);

/* The members of one saga, into the object that is open. */
void ctl_saga_json(struct json_writer *writer, const Sagamesh__Saga__V1__Saga *saga);

/* "steps": [...] */
void ctl_steps_json(struct json_writer *writer, const Sagamesh__Saga__V1__GetResponse *saga);

#endif
