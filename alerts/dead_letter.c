/* dead_letter.c -- Headers packed and read, and the rules of sending a dead letter again. */
#include "alerts/dead_letter.h"
#include "alerts/alert.h"
#include "mesh/base/log.h"

#include <string.h>

#define NO_VALUE UINT32_MAX

enum { LENGTH_BYTES = 4 };

/* ---- headers ---- */

static uint8_t *
put_length(uint8_t *at, uint32_t length)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(length >> shift);
    return at;
}

static uint8_t *
put_bytes(uint8_t *at, struct pg_bytes bytes)
{
    at = put_length(at, bytes.data == NULL ? NO_VALUE : (uint32_t)bytes.count);
    if (bytes.data != NULL && bytes.count > 0)
        memcpy(at, bytes.data, bytes.count);
    return at + (bytes.data == NULL ? 0 : bytes.count);
}

struct pg_bytes
dead_headers_pack(const struct dead_header *headers, size_t count, struct arena *arena)
{
    size_t bytes = 0;
    uint8_t *data, *at;

    for (size_t i = 0; i < count; i++)
        bytes += 2 * LENGTH_BYTES + headers[i].name.count + headers[i].value.count;
    data = at = arena_take(arena, bytes + 1);
    for (size_t i = 0; i < count; i++)
        at = put_bytes(put_bytes(at, headers[i].name), headers[i].value);
    return (struct pg_bytes){ data, (size_t)(at - data) };
}

static bool
take_bytes(struct pg_bytes packed, size_t *at, struct pg_bytes *ret_bytes)
{
    uint32_t length = 0;

    if (packed.count - *at < LENGTH_BYTES)
        return false;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length = length << 8 | packed.data[(*at)++];
    if (length == NO_VALUE) {
        *ret_bytes = (struct pg_bytes){ NULL, 0 };
        return true;
    }
    if (length > packed.count - *at)
        return false;
    *ret_bytes = (struct pg_bytes){ packed.data + *at, length };
    *at += length;
    return true;
}

bool
dead_headers_next(struct pg_bytes packed, size_t *at, struct dead_header *ret_header)
{
    return *at < packed.count && take_bytes(packed, at, &ret_header->name) &&
           ret_header->name.data != NULL && take_bytes(packed, at, &ret_header->value);
}

/* ---- ResendDeadLetter ---- */

void
resend_letter_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_LETTER, ((const struct resend_letter *)op)->letter_id);
}

void
resend_letter_decide(void *op, struct batch_rows *rows)
{
    struct resend_letter *resend = op;
    struct letter_row *letter = batch_find_uuid(rows, ALERT_LETTER, resend->letter_id);
    char id[UUID_TEXT_BYTES + 1];

    if (letter == NULL) {
        problem_set(&resend->op.problem, ERR_NOT_FOUND, "dead_letter_id",
                    "there is no such dead letter");
    } else {
        letter->due |= LETTER_DUE_RESEND;
        if (letter->sent_us == 0) /* where the dead letters refused it, they are asked again too */
            letter->due |= LETTER_DUE_DLQ;
        letter->refused_us = 0;
        letter->refusals = 0;
        letter->refusal = "";
        letter->resends_asked++;
        letter->resend_by = batch_keep(rows, resend->by);
        letter->resend_reason = batch_keep(rows, resend->why);
        batch_changed(rows, letter);
        log_info("dead_letter=%s topic=%s partition=%d offset=%lld event=RESEND_ASKED"
                 " operator=\"%s\" reason=\"%s\"",
                 uuid_print(resend->letter_id, id), letter->topic, letter->part,
                 (long long)letter->place, resend->by, resend->why);
    }
    op_record(rows, &resend->op, "ResendDeadLetter");
}

void
resend_letter_answer(void *op, struct batch_rows *rows)
{
    struct resend_letter *resend = op;

    resend->letter = *(struct letter_row *)batch_find_uuid(rows, ALERT_LETTER, resend->letter_id);
}

/* ---- what is sent ---- */

static void
claim_letter_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_LETTER, ((const struct claim_letter *)op)->letter_id);
}

/* A claim that ran out is another's to take: its sender hangs, or is gone. */
static void
claim_letter_decide(void *op, struct batch_rows *rows)
{
    const struct claim_letter *claim = op;
    struct letter_row *letter = batch_find_uuid(rows, ALERT_LETTER, claim->letter_id);

    *claim->ret_is_claimed = false; /* also where the batch runs again */
    if (letter == NULL || letter->due == 0 || letter->claimed_until_us > claim->op.now_us)
        return;
    letter->claimed_until_us = claim->op.now_us + LETTER_CLAIM_US;
    batch_changed(rows, letter);
    *claim->ret_is_claimed = true;
}

const struct method claim_letter_method = {
    .name = "ClaimLetter",
    .op_bytes = sizeof(struct claim_letter),
    .touch = claim_letter_touch,
    .decide = claim_letter_decide,
};

/* From so many failures in a row to the next try. */
static int64_t
wait_us_after(int32_t failures)
{
    int64_t wait_us = LETTER_WAIT_LEAST_US;

    for (int32_t i = 1; i < failures && wait_us < LETTER_WAIT_MOST_US; i++)
        wait_us *= 2;
    return wait_us < LETTER_WAIT_MOST_US ? wait_us : LETTER_WAIT_MOST_US;
}

static void
try_letter_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ALERT_LETTER, ((const struct try_letter *)op)->letter_id);
}

static void
mark_sent(struct letter_row *letter, const struct try_letter *tried, int32_t sent)
{
    letter->claimed_until_us = 0; /* what was asked for meanwhile need not wait */
    letter->failures = letter->refusals = 0;
    if (sent & LETTER_DUE_DLQ) {
        letter->due &= ~LETTER_DUE_DLQ;
        letter->sent_us = tried->op.now_us;
    }
    if (sent & LETTER_DUE_RESEND) {
        letter->resends++;
        letter->resent_us = tried->op.now_us;
        if (letter->resends_asked == tried->resends_asked)
            letter->due &= ~LETTER_DUE_RESEND;
    }
}

/* What Kafka is to blame for never counts as a refusal, and takes none back. */
static void
mark_failed(struct letter_row *letter, const struct try_letter *tried, int32_t refused)
{
    letter->failures++;
    letter->claimed_until_us = tried->op.now_us + wait_us_after(letter->failures);
    if (refused == 0)
        return;
    letter->refusals++;
    letter->refusal = tried->refusal;
    if (letter->refusals < LETTER_REFUSALS_MAX)
        return;
    letter->due &= ~refused;
    letter->refused_us = tried->op.now_us;
    letter->claimed_until_us = 0;
    letter->failures = letter->refusals = 0;
}

/* Two replicas may have sent it: the later one finds nothing due. */
bool
letter_mark_tried(struct letter_row *letter, const struct try_letter *tried)
{
    int32_t sent = letter->due & tried->sent, failed = letter->due & tried->failed;

    if (sent != 0)
        mark_sent(letter, tried, sent);
    if (failed != 0)
        mark_failed(letter, tried, failed & tried->refused);
    if (letter->refusals == 0 && letter->refused_us == 0)
        letter->refusal = "";
    return (sent | failed) != 0;
}

static void
try_letter_decide(void *op, struct batch_rows *rows)
{
    const struct try_letter *tried = op;
    struct letter_row *letter = batch_find_uuid(rows, ALERT_LETTER, tried->letter_id);

    *tried->ret_is_refused = false; /* also where the batch runs again */
    if (letter == NULL || !letter_mark_tried(letter, tried))
        return;
    letter->refusal = batch_keep(rows, letter->refusal);
    batch_changed(rows, letter);
    *tried->ret_is_refused = letter->refused_us == tried->op.now_us;
}

const struct method try_letter_method = {
    .name = "TryLetter",
    .op_bytes = sizeof(struct try_letter),
    .touch = try_letter_touch,
    .decide = try_letter_decide,
};
