/* ctl_text.h -- How phases, times and strangers' texts are shown to people and to programs.
 *
 * Memory    Texts are static, or live in the arena.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include "mesh/base/arena.h"

#include <sagamesh/saga/v1/saga_service.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

const char *ctl_phase_text(Sagamesh__Saga__V1__SagaPhase phase); /* "stuck" */
bool ctl_phase_find(const char *text, Sagamesh__Saga__V1__SagaPhase *ret_phase);

/* "12 s", "3 min", "5 h", "2 days": of a duration. */
const char *ctl_age_text(int64_t age_us, struct arena *arena);

/* "2026-11-21 10:00:00.123 UTC". */
const char *ctl_time_text(int64_t time_us, struct arena *arena);

/* Nothing in it steers a terminal; "-" when it is empty. */
const char *ctl_clean_text(const char *text, struct arena *arena);

/* "StorageService/Reserve" of "sagamesh.storage.v1.StorageService/Reserve". */
const char *ctl_call_text(const char *call, struct arena *arena);

#endif
