/* ctl_filter.h -- Which of the sagas that are listed a word is about: --state and --reason.
 *
 * The orchestrator lists by phase; these two are looked at here, since a parked saga's state is in its
 * row and not in memory.
 */
#ifndef CTL_FILTER_H
#define CTL_FILTER_H

#include "sagactl/ctl.h"

#include <sagamesh/saga/v1/saga_service.pb-c.h>

/* Has it the state and the error code that were asked for? Those not given are not looked at. */
bool ctl_filter_takes(const struct ctl *ctl, const Sagamesh__Saga__V1__Saga *saga);
bool ctl_filter_is_set(const struct ctl *ctl);

#endif
