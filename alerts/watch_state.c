/* watch_state.c -- What an order and its payments were at a time, out of their newest and first news. */
#include "alerts/watch_inner.h"

bool
watch_is_heard(const struct watch_event *event)
{
    return event->version > 0;
}

bool
watch_has_happened(const struct watch_event *event, int64_t at_us)
{
    return watch_is_heard(event) && event->time_us <= at_us;
}

bool
watch_is_taken_back(const struct watch_payment *payment)
{
    return word_is_failure(payment->last.word) && watch_is_heard(&payment->success);
}

static bool
is_late(const struct watch *watch, const struct watch_payment *payment)
{
    return watch->expires_at_us != 0 && payment->occurred_at_us > watch->expires_at_us;
}

static enum money
money_at(const struct watch *watch, const struct watch_payment *payment, int64_t at_us)
{
    if (watch_has_happened(&payment->back, at_us))
        return MONEY_BACK;
    if (word_is_failure(payment->last.word) && watch_has_happened(&payment->last, at_us) &&
        (watch_is_taken_back(payment) || !watch_has_happened(&payment->success, at_us)))
        return MONEY_FAILED;
    if (watch_has_happened(&payment->success, at_us))
        return is_late(watch, payment) ? MONEY_LATE : MONEY_TAKEN;
    return MONEY_OPEN;
}

const struct watch_event *
watch_end_at(const struct watch *watch, int64_t at_us)
{
    bool is_paid = watch_has_happened(&watch->paid, at_us),
         is_failed = watch_has_happened(&watch->failed, at_us);

    if (is_paid && is_failed)
        return watch->paid.version > watch->failed.version ? &watch->paid : &watch->failed;
    return is_paid ? &watch->paid : is_failed ? &watch->failed : NULL;
}

/* payment NULL: for no one's sake. */
static enum standing
standing_at(const struct watch *watch, const struct watch_payment *payment, int64_t at_us)
{
    const struct watch_event *end = watch_end_at(watch, at_us);

    if (end == &watch->failed)
        return STANDING_FAILED;
    if (end == NULL)
        return watch_is_heard(&watch->last) ? STANDING_OPEN : STANDING_UNSEEN;
    if (watch->is_free)
        return STANDING_FREE;
    return payment != NULL && !uuid_is_nil(watch->paid_by) &&
                   !uuid_equal(watch->paid_by, payment->id)
               ? STANDING_OTHER
               : STANDING_PAID;
}

bool
watch_is_in(const unsigned sets[STANDING_COUNT], const struct watch *watch,
            const struct watch_payment *payment, int64_t at_us)
{
    unsigned set = sets[standing_at(watch, payment, at_us)];

    if (payment != NULL)
        return (set & 1u << money_at(watch, payment, at_us)) != 0;
    if (watch->payment_count == 0)
        return (set & 1u << MONEY_UNSEEN) != 0;
    for (size_t i = 0; i < watch->payment_count; i++) {
        if ((set & 1u << money_at(watch, &watch->payments[i], at_us)) == 0)
            return false;
    }
    return true;
}
