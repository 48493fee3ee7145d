#include "account-svc/payment/payment_sweep.h"
#include "mesh/base/log.h"
#include "mesh/store/sweep.h"

/* Each minute, while it lasts. The oldest is named; there may be more than are counted. */
void
payment_report_late(void *owner, const void *rows, size_t count)
{
    const struct signal_late *late = rows;
    char id[UUID_TEXT_BYTES + 1], order_id[UUID_TEXT_BYTES + 1];

    (void)owner;
    log_error("event=SIGNALS_UNHEARD payments=%zu%s payment=%s order=%s minutes=%lld "
              "because=\"the sagas of these payments have not said that they know how they stand\" "
              "next=\"they are told again, for ever; signal=unheard in this log says what was "
              "answered, sagactl show ORDER where the saga is\"",
              count, count == SWEEP_PAGE ? "+" : "", uuid_print(late->payment_id, id),
              uuid_print(late->order_id, order_id), (long long)(late->late_us / (60 * SECOND_US)));
}

void
payment_report_unserved(void *owner, const void *rows, size_t count)
{
    const struct payment_owner *payments = owner;
    const struct overdue_provider *overdue = rows;

    for (size_t i = 0; i < count; i++) {
        if (!payments->is_served(payments, overdue[i].provider))
            log_error("provider=%s event=PROVIDER_NOT_CONFIGURED"
                      " because=\"its payments are overdue to be asked about, and this program "
                      "does not know it\""
                      " next=\"have it in --provider-config until they are over\"",
                      overdue[i].provider);
    }
}
