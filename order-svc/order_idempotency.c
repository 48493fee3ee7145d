/* order_idempotency.c -- Keys that HTTP requests come with: one key, one order, one answer.
 *
 * A key is claimed in the transaction that places its order, so there is never one without the other.
 * Whoever claimed it has it until the lock runs out; then the next one goes on with the same order, as
 * if the first had never been there. The first answer stays.
 */
#include "order-svc/order.h"

#include <string.h>

enum { UNIT_SEPARATOR = 0x1f };

const char *
idempotency_key(struct arena *arena, const char *scope, const char *key)
{
    return arena_print(arena, "%s%c%s", scope, UNIT_SEPARATOR, key);
}

void
idempotency_follow(const void *row, struct batch_touch *touch)
{
    batch_touch_uuid(touch, ORDER_ORDER, ((const struct idempotency *)row)->order_id);
}

static bool
bytes_equal(const struct pg_bytes *a, const struct pg_bytes *b)
{
    return a->count == b->count && (a->count == 0 || memcmp(a->data, b->data, a->count) == 0);
}

/* Never NULL, which would be SQL's. */
static struct pg_bytes
bytes_keep(struct batch_rows *rows, const struct pg_bytes *bytes)
{
    const char *data = bytes->count == 0 ? "" : (const char *)bytes->data;

    return (struct pg_bytes){ (const uint8_t *)arena_copy(batch_arena(rows), data, bytes->count),
                              bytes->count };
}

/* No lock is asked for that is longer than LOCK_MS_MAX: one that ends later was made while the clock was
 * ahead, and would keep the key for as long as it was. */
static bool
is_locked(const struct idempotency *known, int64_t now_us)
{
    return known->locked_until_us > now_us &&
           known->locked_until_us <= now_us + LOCK_MS_MAX * INT64_C(1000);
}

/* What a known key is to this Place; NONE: free, its lock has run out. */
static enum claim
claim_of(const struct place *place, const struct idempotency *known)
{
    if (!bytes_equal(&place->key_fingerprint, &known->fingerprint))
        return CLAIM_MISMATCH;
    if (known->http_status != 0)
        return CLAIM_ANSWERED;
    if (uuid_equal(known->claimed_by, place->op.id))
        return CLAIM_MINE;
    return is_locked(known, place->op.now_us) ? CLAIM_IN_FLIGHT : CLAIM_NONE;
}

bool
idempotency_claim(struct place *place, struct batch_rows *rows)
{
    struct idempotency *known = batch_find_text(rows, ORDER_IDEMPOTENCY, place->key);
    bool is_new = known == NULL;

    if (is_new) {
        known = batch_add_text(rows, ORDER_IDEMPOTENCY, place->key);
        known->fingerprint = bytes_keep(rows, &place->key_fingerprint);
        known->order_id = place->op.id;
        known->body = bytes_keep(rows, &known->body);
        known->created_at_us = place->op.now_us;
    } else if (claim_of(place, known) != CLAIM_NONE) {
        return false;
    } else {
        batch_changed(rows, known);
    }
    known->claimed_by = place->op.id;
    known->locked_until_us = place->op.now_us + place->lock_us;
    return is_new;
}

/* A Place that made its order reports that one for ever, also when its key is gone or another's. */
const struct uuid *
idempotency_report(struct place *place, struct batch_rows *rows)
{
    bool is_placed = batch_find_uuid(rows, ORDER_ORDER, place->op.id) != NULL;
    const struct idempotency *known;

    if (place->key[0] == '\0')
        return &place->op.id;
    known = batch_find_text(rows, ORDER_IDEMPOTENCY, place->key);
    place->claim = CLAIM_MINE;
    if (is_placed && (known == NULL || !uuid_equal(known->order_id, place->op.id)))
        return &place->op.id;
    place->claim = claim_of(place, known);
    if (place->claim == CLAIM_NONE) /* it was mine, then another's, whose lock has run out too */
        place->claim = CLAIM_IN_FLIGHT;
    if (place->claim == CLAIM_MISMATCH)
        return NULL;
    place->http_status = known->http_status;
    place->body = known->body;
    return &known->order_id;
}

/* ---- StoreAnswer ---- */

void
store_answer_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, ORDER_IDEMPOTENCY, ((const struct store_answer *)op)->key);
}

void
store_answer_decide(void *op, struct batch_rows *rows)
{
    struct store_answer *answer = op;
    struct idempotency *known = batch_find_text(rows, ORDER_IDEMPOTENCY, answer->key);

    if (known == NULL) {
        problem_set(&answer->op.problem, ERR_NOT_FOUND, "key", "there is no such key");
    } else if (!uuid_equal(known->order_id, answer->order_id)) {
        problem_refuse(&answer->op.problem, "KEY_OF_ANOTHER_ORDER", "order_id",
                       "this key is of another order");
    } else if (known->http_status == 0) {
        known->http_status = answer->http_status;
        known->body = bytes_keep(rows, &answer->body);
        batch_changed(rows, known);
    }
}

void
store_answer_answer(void *op, struct batch_rows *rows)
{
    struct store_answer *answer = op;
    const struct idempotency *known = batch_find_text(rows, ORDER_IDEMPOTENCY, answer->key);

    answer->is_stored =
        known->http_status == answer->http_status && bytes_equal(&known->body, &answer->body);
}

/* ---- ReleaseKey ---- */

void
release_key_touch(const void *op, struct batch_touch *touch)
{
    batch_touch_text(touch, ORDER_IDEMPOTENCY, ((const struct release_key *)op)->key);
}

/* Whoever comes later may have claimed it meanwhile: that one's lock is not ours to end. */
void
release_key_decide(void *op, struct batch_rows *rows)
{
    struct release_key *release = op;
    struct idempotency *known = batch_find_text(rows, ORDER_IDEMPOTENCY, release->key);

    if (known == NULL || known->http_status != 0 ||
        !uuid_equal(known->claimed_by, release->claimed_by) ||
        !is_locked(known, release->op.now_us))
        return;
    known->locked_until_us = release->op.now_us;
    batch_changed(rows, known);
}

void
release_key_answer(void *op, struct batch_rows *rows)
{
    struct release_key *release = op;
    const struct idempotency *known = batch_find_text(rows, ORDER_IDEMPOTENCY, release->key);

    release->is_free =
        known != NULL && (known->http_status != 0 || !is_locked(known, release->op.now_us));
}
