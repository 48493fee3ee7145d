/* alert.c -- The rules of what people do about alerts: ops and rows in, changed rows or a refusal out.
 *
 * A repair is the record of its BeginRepair, and has one end. One without an end says that its tool was
 * ended: who looks sees that something may have been done.
 */
#include "alerts/alert.h"
#include "mesh/base/log.h"

#include <stdlib.h>

/* The alert of an op; NULL: with the reason. */
static struct alert_row *
alert_of(struct op *op, struct batch_rows *rows, struct uuid alert_id)
{
    struct alert_row *alert = batch_find_uuid(rows, ALERT_ALERT, alert_id);

    if (alert == NULL)
        problem_set(&op->problem, ERR_NOT_FOUND, "alert_id", "there is no such alert");
    return alert;
}

/* ---- AcknowledgeAlert ---- */

void
acknowledge_alert_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_ALERT, ((const struct acknowledge_alert *)op)->alert_id);
}

/* One that is resolved can be acknowledged too: an operator has seen that it was. */
void
acknowledge_alert_decide(void *op, struct batch_rows *rows)
{
    struct acknowledge_alert *acknowledge = op;
    struct alert_row *alert = alert_of(&acknowledge->op, rows, acknowledge->alert_id);
    char id[UUID_TEXT_BYTES + 1];

    if (alert != NULL) {
        alert->acknowledged_us = acknowledge->op.now_us;
        alert->acknowledged_by = batch_keep(rows, acknowledge->by);
        alert->acknowledged_reason = batch_keep(rows, acknowledge->why);
        batch_changed(rows, alert);
        log_info("alert=%s rule=%s event=ALERT_ACKNOWLEDGED operator=\"%s\" reason=\"%s\"",
                 uuid_print(acknowledge->alert_id, id), alert->raise.rule, acknowledge->by,
                 acknowledge->why);
    }
    op_record(rows, &acknowledge->op, "AcknowledgeAlert");
}

void
acknowledge_alert_answer(void *op, struct batch_rows *rows)
{
    struct acknowledge_alert *acknowledge = op;

    acknowledge->alert =
        *(struct alert_row *)batch_find_uuid(rows, ALERT_ALERT, acknowledge->alert_id);
}

/* ---- BeginRepair, EndRepair ---- */

void
begin_repair_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_ALERT, ((const struct begin_repair *)op)->alert_id);
}

/* A refused one is a row too, since the repair is the record of its op. */
void
begin_repair_decide(void *op, struct batch_rows *rows)
{
    struct begin_repair *begin = op;
    const struct alert_row *alert = alert_of(&begin->op, rows, begin->alert_id);
    struct repair_row *repair = batch_add_uuid(rows, ALERT_REPAIR, begin->op.id);
    char id[UUID_TEXT_BYTES + 1];

    batch_record_fill(rows, &repair->record, &begin->op);
    repair->alert_id = begin->alert_id;
    repair->by = batch_keep(rows, begin->by);
    repair->why = batch_keep(rows, begin->why);
    repair->begun_us = begin->op.now_us;
    repair->outcome = "";
    if (alert != NULL)
        log_info("alert=%s rule=%s event=REPAIR_BEGUN operator=\"%s\" reason=\"%s\"",
                 uuid_print(begin->alert_id, id), alert->raise.rule, begin->by, begin->why);
}

void
begin_repair_answer(void *op, struct batch_rows *rows)
{
    struct begin_repair *begin = op;

    begin->begun_us =
        ((struct repair_row *)batch_find_uuid(rows, ALERT_REPAIR, begin->op.id))->begun_us;
}

void
end_repair_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_REPAIR, ((const struct end_repair *)op)->repair_id);
}

void
end_repair_decide(void *op, struct batch_rows *rows)
{
    struct end_repair *end = op;
    struct repair_row *repair = batch_find_uuid(rows, ALERT_REPAIR, end->repair_id);
    struct problem *problem = &end->op.problem;
    char id[UUID_TEXT_BYTES + 1];

    if (repair == NULL || repair->record.reason[0] != '\0') {
        problem_set(problem, ERR_NOT_FOUND, "repair_id", "there is no such repair");
    } else if (repair->ended_us != 0) {
        problem_refuse(problem, "REPAIR_ENDED", "repair_id", "this repair has ended already");
    } else {
        repair->ended_us = end->op.now_us;
        repair->is_done = end->is_done;
        repair->outcome = batch_keep(rows, end->outcome);
        batch_changed(rows, repair);
        log_info("alert=%s event=REPAIR_ENDED operator=\"%s\" done=%s",
                 uuid_print(repair->alert_id, id), repair->by, end->is_done ? "yes" : "no");
    }
    op_record(rows, &end->op, "EndRepair");
}

void
end_repair_answer(void *op, struct batch_rows *rows)
{
    struct end_repair *end = op;

    end->ended_us =
        ((struct repair_row *)batch_find_uuid(rows, ALERT_REPAIR, end->repair_id))->ended_us;
}
