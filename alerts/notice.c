/* notice.c -- The life of a notice: due, leased, sent; or due again, ever later; or given up. */
#include "alerts/notice.h"
#include "alerts/alert.h"
#include "mesh/base/log.h"

int64_t
notice_wait_us(int32_t attempts, int64_t retry_after_us)
{
    int64_t wait_us = NOTICE_WAIT_LEAST_US;

    for (int32_t i = 1; i < attempts && wait_us < NOTICE_WAIT_MOST_US; i++)
        wait_us *= 4;
    if (wait_us > NOTICE_WAIT_MOST_US)
        wait_us = NOTICE_WAIT_MOST_US;
    return retry_after_us > wait_us ? retry_after_us : wait_us;
}

/* ---- lease ---- */

static void
lease_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, ALERT_NOTICE, ((const struct lease_notice *)op)->key);
}

/* A lease that ran out is another's to take: its sender hangs, or is gone. */
static void
lease_decide(void *op, struct batch_rows *rows)
{
    const struct lease_notice *lease = op;
    struct notice_life *notice = batch_find_text(rows, ALERT_NOTICE, lease->key);

    *lease->ret_lease = 0; /* also where the batch runs again */
    if (notice == NULL || notice->next_us == 0 || notice->next_us > lease->op.now_us)
        return;
    notice->lease++;
    notice->attempts++;
    notice->next_us = lease->op.now_us + NOTICE_LEASE_US;
    batch_changed(rows, notice);
    *lease->ret_lease = notice->lease;
}

const struct method lease_notice_method = {
    .name = "LeaseNotice",
    .op_bytes = sizeof(struct lease_notice),
    .touch = lease_touch,
    .decide = lease_decide,
};

/* ---- end ---- */

static void
end_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, ALERT_NOTICE, ((const struct end_notice *)op)->key);
}

static enum notice_outcome
outcome_of(const struct notice_life *notice)
{
    return notice->is_sent ? NOTICE_SENT : notice->next_us != 0 ? NOTICE_RETRIED : NOTICE_GIVEN_UP;
}

static void
say(const struct notice_life *notice, const char *trouble)
{
    const struct notice_row *row = &notice->row;
    char id[UUID_TEXT_BYTES + 1];

    uuid_print(row->alert_id, id);
    if (notice->is_sent)
        log_info("alert=%s state=%s destination=%s event=NOTICE_SENT attempts=%d", id, row->state,
                 row->destination, notice->attempts);
    else if (notice->next_us != 0)
        log_warn("alert=%s state=%s destination=%s event=NOTICE_RETRY attempts=%d because=\"%s\"",
                 id, row->state, row->destination, notice->attempts, trouble);
    else
        log_error("alert=%s state=%s destination=%s event=NOTICE_GIVEN_UP attempts=%d"
                  " because=\"%s\"",
                  id, row->state, row->destination, notice->attempts, trouble);
}

/* What an older lease brings is late: another one sends meanwhile. That it was sent is true all the same. */
bool
notice_mark_end(struct notice_life *notice, const struct end_notice *end)
{
    int64_t now_us = end->op.now_us;

    if (notice->next_us == 0 || (notice->lease != end->lease && !end->is_sent))
        return false;
    notice->is_sent = end->is_sent;
    notice->trouble = end->trouble;
    notice->next_us = now_us + notice_wait_us(notice->attempts, end->retry_after_us);
    if (end->is_sent || end->is_final ||
        notice->next_us > notice->row.made_us + NOTICE_GIVE_UP_US) {
        notice->next_us = 0;
        notice->ended_us = now_us;
    }
    return true;
}

static void
end_decide(void *op, struct batch_rows *rows)
{
    const struct end_notice *end = op;
    struct notice_life *notice = batch_find_text(rows, ALERT_NOTICE, end->key);

    *end->ret_outcome = NOTICE_NOTHING; /* also where the batch runs again */
    if (notice == NULL || !notice_mark_end(notice, end))
        return;
    *end->ret_outcome = outcome_of(notice);
    notice->trouble = batch_keep(rows, end->trouble);
    batch_changed(rows, notice);
    say(notice, end->trouble);
}

const struct method end_notice_method = {
    .name = "EndNotice",
    .op_bytes = sizeof(struct end_notice),
    .touch = end_touch,
    .decide = end_decide,
};
