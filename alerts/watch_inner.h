/* watch_inner.h -- What the files of a watch share. Inside these files only.
 *
 *   watch.c         registers: news is merged into them
 *   watch_state.c   what they say of a time
 *   watch_decide.c  contradictions, and what is told of them
 *   watch_row.c     the line on disk
 */
#ifndef ALERTS_WATCH_INNER_H
#define ALERTS_WATCH_INNER_H

#include "alerts/watch.h"

bool watch_is_heard(const struct watch_event *event);
bool watch_has_happened(const struct watch_event *event, int64_t at_us);

/* The newest version says that it failed, an older one that it succeeded. */
bool watch_is_taken_back(const struct watch_payment *payment);

/* The event that ended the order by then; NULL: it had not ended. */
const struct watch_event *watch_end_at(const struct watch *watch, int64_t at_us);

/* Does the payment disagree with the order, by a rule's sets? NULL: do all of them, or is there none? */
bool watch_is_in(const unsigned sets[STANDING_COUNT], const struct watch *watch,
                 const struct watch_payment *payment, int64_t at_us);

#endif
