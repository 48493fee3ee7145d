/* alert_rpc.c -- Alerts, repairs and dead letters as their callers see them: the table of methods.
 *
 * An alert's id is a UUID of any version, since it is a hash of what disagrees; all other ids are as everywhere.
 */
#include "alerts/alert.h"
#include "alerts/dead_letter.h"
#include "mesh/base/check.h"
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "mesh/base/utf8.h"

#include "sagamesh/alert/v1/alert_service.pb-c.h"

#include <string.h>

/* What sets the fingerprints of methods with the same fields apart. */
enum { SALT_ACKNOWLEDGE, SALT_BEGIN, SALT_END, SALT_RESEND };

static enum error
check_alert_id(struct problem *problem, const char *text, struct uuid *ret_id)
{
    if (!uuid_parse(text, strlen(text), ret_id))
        return problem_set(problem, ERR_BAD_REQUEST, "alert_id",
                           "must be a UUID of 36 lower-case characters");
    return ERR_OK;
}

/* Who asks, and why: every change by a person has both. */
static enum error
check_person(struct problem *problem, const char *person, const char *why)
{
    if (check_text(problem, "operator", person, 1, OPERATOR_BYTES_MAX) != ERR_OK)
        return problem->error;
    return check_text(problem, "reason", why, 1, OPERATOR_REASON_BYTES_MAX);
}

static uint64_t
fingerprint_of(int salt, const char *id, const char *one, const char *two)
{
    return hash_end(hash_text(hash_text(hash_text(HASH_SEED + (uint64_t)salt, id), one), two));
}

static char *
id_text(struct uuid id, struct arena *arena)
{
    return uuid_print(id, arena_take(arena, UUID_TEXT_BYTES + 1));
}

/* ---- alerts ---- */

static Sagamesh__Alert__V1__Alert *
alert_message(const struct alert_row *alert, struct arena *arena)
{
    Sagamesh__Alert__V1__Alert *message = arena_take(arena, sizeof *message);

    sagamesh__alert__v1__alert__init(message);
    message->alert_id = id_text(alert->raise.id, arena);
    message->rule = (char *)alert->raise.rule;
    message->severity = (char *)alert->raise.severity;
    message->subject = (char *)alert->raise.subject;
    message->occurred_at_us = alert->raise.occurred_us;
    message->detected_at_us = alert->raise.detected_us;
    message->resolved_at_us = alert->resolved_us;
    message->acknowledged_at_us = alert->acknowledged_us;
    message->acknowledged_by = (char *)alert->acknowledged_by;
    message->acknowledged_reason = (char *)alert->acknowledged_reason;
    return message;
}

static enum error
list_alerts_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__ListAlertsRequest *request =
        (const Sagamesh__Alert__V1__ListAlertsRequest *)message;
    struct list_alerts *list = op;
    struct problem *problem = &list->op.problem;

    (void)arena;
    list->is_open_only = request->open_only;
    list->rule = request->rule;
    if (list->rule[0] != '\0' && check_word(problem, "rule", list->rule, 32) != ERR_OK)
        return problem->error;
    if (check_range(problem, "least_age_seconds", request->least_age_seconds, 0, AGE_SECONDS_MAX) !=
            ERR_OK ||
        check_page_id(problem, request->page_token, &list->before_id) != ERR_OK)
        return problem->error;
    list->until_us = request->least_age_seconds == 0
                         ? INT64_MAX
                         : clock_now_us() - request->least_age_seconds * SECOND_US;
    return check_page_size(problem, request->page_size, &list->page_size);
}

static ProtobufCMessage *
list_alerts_encode(const void *op, struct arena *arena)
{
    const struct list_alerts *list = op;
    Sagamesh__Alert__V1__ListAlertsResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__list_alerts_response__init(response);
    response->alerts = arena_take(arena, list->count * sizeof *response->alerts);
    response->n_alerts = list->count;
    for (size_t i = 0; i < list->count; i++)
        response->alerts[i] = alert_message(&list->alerts[i], arena);
    if (list->has_more)
        response->next_page_token = id_text(list->alerts[list->count - 1].raise.id, arena);
    return &response->base;
}

static enum error
get_alert_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_alert *get = op;

    (void)arena;
    return check_alert_id(&get->op.problem,
                          ((const Sagamesh__Alert__V1__GetAlertRequest *)message)->alert_id,
                          &get->op.id);
}

static Sagamesh__Alert__V1__Repair *
repair_message(const struct repair_row *repair, struct arena *arena)
{
    Sagamesh__Alert__V1__Repair *message = arena_take(arena, sizeof *message);

    sagamesh__alert__v1__repair__init(message);
    message->repair_id = id_text(repair->record.id, arena);
    message->operator_ = (char *)repair->by;
    message->reason = (char *)repair->why;
    message->begun_at_us = repair->begun_us;
    message->ended_at_us = repair->ended_us;
    message->is_done = repair->is_done;
    message->outcome = (char *)repair->outcome;
    return message;
}

static ProtobufCMessage *
get_alert_encode(const void *op, struct arena *arena)
{
    const struct get_alert *get = op;
    Sagamesh__Alert__V1__GetAlertResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__get_alert_response__init(response);
    response->alert = alert_message(&get->alert, arena);
    response->raised_event = (char *)get->alert.raise.payload;
    response->resolved_event = (char *)get->alert.resolved_payload;
    response->repairs = arena_take(arena, get->repair_count * sizeof *response->repairs);
    response->n_repairs = get->repair_count;
    for (size_t i = 0; i < get->repair_count; i++)
        response->repairs[i] = repair_message(&get->repairs[i], arena);
    return &response->base;
}

static enum error
acknowledge_alert_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__AcknowledgeAlertRequest *request =
        (const Sagamesh__Alert__V1__AcknowledgeAlertRequest *)message;
    struct acknowledge_alert *acknowledge = op;
    struct problem *problem = &acknowledge->op.problem;

    (void)arena;
    acknowledge->by = request->operator_;
    acknowledge->why = request->reason;
    acknowledge->op.fingerprint =
        fingerprint_of(SALT_ACKNOWLEDGE, request->alert_id, acknowledge->by, acknowledge->why);
    if (check_id(problem, "request_id", request->request_id, &acknowledge->op.id) != ERR_OK ||
        check_alert_id(problem, request->alert_id, &acknowledge->alert_id) != ERR_OK)
        return problem->error;
    return check_person(problem, acknowledge->by, acknowledge->why);
}

static ProtobufCMessage *
acknowledge_alert_encode(const void *op, struct arena *arena)
{
    Sagamesh__Alert__V1__AcknowledgeAlertResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__acknowledge_alert_response__init(response);
    response->alert = alert_message(&((const struct acknowledge_alert *)op)->alert, arena);
    return &response->base;
}

/* ---- repairs ---- */

static enum error
begin_repair_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__BeginRepairRequest *request =
        (const Sagamesh__Alert__V1__BeginRepairRequest *)message;
    struct begin_repair *begin = op;
    struct problem *problem = &begin->op.problem;

    (void)arena;
    begin->by = request->operator_;
    begin->why = request->reason;
    begin->op.fingerprint = fingerprint_of(SALT_BEGIN, request->alert_id, begin->by, begin->why);
    if (check_id(problem, "request_id", request->request_id, &begin->op.id) != ERR_OK ||
        check_alert_id(problem, request->alert_id, &begin->alert_id) != ERR_OK)
        return problem->error;
    return check_person(problem, begin->by, begin->why);
}

static ProtobufCMessage *
begin_repair_encode(const void *op, struct arena *arena)
{
    const struct begin_repair *begin = op;
    Sagamesh__Alert__V1__BeginRepairResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__begin_repair_response__init(response);
    response->repair_id = id_text(begin->op.id, arena);
    response->begun_at_us = begin->begun_us;
    return &response->base;
}

/* Its outcome has lines, which check_text() knows nothing of: a new line stands where a control character may not. */
static enum error
check_outcome(struct problem *problem, const char *outcome)
{
    size_t bytes = strlen(outcome);

    if (bytes < 1 || bytes > REPAIR_OUTCOME_BYTES_MAX)
        return problem_set(problem, ERR_BAD_REQUEST, "outcome", "must have 1 to %d bytes, not %zu",
                           REPAIR_OUTCOME_BYTES_MAX, bytes);
    for (const unsigned char *at = (const unsigned char *)outcome; *at != '\0'; at++) {
        if ((*at < ' ' && *at != '\n') || *at == 0x7f)
            return problem_set(problem, ERR_BAD_REQUEST, "outcome",
                               "must have no control characters but new lines");
    }
    return ERR_OK;
}

static enum error
end_repair_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__EndRepairRequest *request =
        (const Sagamesh__Alert__V1__EndRepairRequest *)message;
    struct end_repair *end = op;
    struct problem *problem = &end->op.problem;

    (void)arena;
    end->is_done = request->is_done;
    end->outcome = request->outcome;
    end->op.fingerprint =
        fingerprint_of(SALT_END, request->repair_id, end->is_done ? "done" : "", end->outcome);
    if (check_id(problem, "request_id", request->request_id, &end->op.id) != ERR_OK ||
        check_id(problem, "repair_id", request->repair_id, &end->repair_id) != ERR_OK)
        return problem->error;
    return check_outcome(problem, end->outcome);
}

static ProtobufCMessage *
end_repair_encode(const void *op, struct arena *arena)
{
    Sagamesh__Alert__V1__EndRepairResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__end_repair_response__init(response);
    response->ended_at_us = ((const struct end_repair *)op)->ended_us;
    return &response->base;
}

/* ---- dead letters ---- */

static Sagamesh__Alert__V1__DeadLetter *
letter_message(const struct letter_row *letter, struct arena *arena)
{
    Sagamesh__Alert__V1__DeadLetter *message = arena_take(arena, sizeof *message);

    sagamesh__alert__v1__dead_letter__init(message);
    message->dead_letter_id = id_text(letter->id, arena);
    message->topic = (char *)letter->topic;
    message->partition = letter->part;
    message->offset = letter->place;
    message->reason = (char *)letter->reason;
    message->found_at_us = letter->found_us;
    message->sent_at_us = letter->sent_us;
    message->resends = letter->resends;
    message->resent_at_us = letter->resent_us;
    message->resend_by = (char *)letter->resend_by;
    message->resend_reason = (char *)letter->resend_reason;
    message->is_resend_due = (letter->due & LETTER_DUE_RESEND) != 0;
    message->refused_at_us = letter->refused_us;
    message->refusal = (char *)letter->refusal;
    return message;
}

static enum error
list_letters_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__ListDeadLettersRequest *request =
        (const Sagamesh__Alert__V1__ListDeadLettersRequest *)message;
    struct list_letters *list = op;

    (void)arena;
    return check_page_before(&list->op.problem, request->page_token, request->page_size,
                             &list->before_id, &list->page_size);
}

static ProtobufCMessage *
list_letters_encode(const void *op, struct arena *arena)
{
    const struct list_letters *list = op;
    Sagamesh__Alert__V1__ListDeadLettersResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__list_dead_letters_response__init(response);
    response->dead_letters = arena_take(arena, list->count * sizeof *response->dead_letters);
    response->n_dead_letters = list->count;
    for (size_t i = 0; i < list->count; i++)
        response->dead_letters[i] = letter_message(&list->letters[i], arena);
    if (list->has_more)
        response->next_page_token = id_text(list->letters[list->count - 1].id, arena);
    return &response->base;
}

static enum error
get_letter_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    struct get_letter *get = op;

    (void)arena;
    return check_id(&get->op.problem, "dead_letter_id",
                    ((const Sagamesh__Alert__V1__GetDeadLetterRequest *)message)->dead_letter_id,
                    &get->op.id);
}

static ProtobufCBinaryData
binary(struct pg_bytes bytes)
{
    return (ProtobufCBinaryData){ .len = bytes.data == NULL ? 0 : bytes.count,
                                  .data = (uint8_t *)(uintptr_t)bytes.data };
}

static Sagamesh__Alert__V1__DeadLetterHeader *
header_message(const struct dead_header *header, struct arena *arena)
{
    Sagamesh__Alert__V1__DeadLetterHeader *message = arena_take(arena, sizeof *message);

    sagamesh__alert__v1__dead_letter_header__init(message);
    message->name =
        utf8_repair(arena_copy(arena, (const char *)header->name.data, header->name.count), arena);
    message->value = binary(header->value);
    return message;
}

static void
put_headers(Sagamesh__Alert__V1__GetDeadLetterResponse *response, struct pg_bytes packed,
            struct arena *arena)
{
    struct dead_header header;
    size_t count = 0, at = 0;

    while (dead_headers_next(packed, &at, &header))
        count++;
    response->headers = arena_take(arena, count * sizeof *response->headers);
    for (at = 0; dead_headers_next(packed, &at, &header);)
        response->headers[response->n_headers++] = header_message(&header, arena);
}

static ProtobufCMessage *
get_letter_encode(const void *op, struct arena *arena)
{
    const struct letter_whole *whole = &((const struct get_letter *)op)->whole;
    Sagamesh__Alert__V1__GetDeadLetterResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__get_dead_letter_response__init(response);
    response->dead_letter = letter_message(&whole->letter, arena);
    response->has_key = whole->key.data != NULL;
    response->key = binary(whole->key);
    response->has_value = whole->value.data != NULL;
    response->value = binary(whole->value);
    response->value_bytes = whole->value_bytes;
    response->timestamp_ms = whole->timestamp_ms;
    put_headers(response, whole->headers, arena);
    return &response->base;
}

static enum error
resend_letter_decode(const ProtobufCMessage *message, struct arena *arena, void *op)
{
    const Sagamesh__Alert__V1__ResendDeadLetterRequest *request =
        (const Sagamesh__Alert__V1__ResendDeadLetterRequest *)message;
    struct resend_letter *resend = op;
    struct problem *problem = &resend->op.problem;

    (void)arena;
    resend->by = request->operator_;
    resend->why = request->reason;
    resend->op.fingerprint =
        fingerprint_of(SALT_RESEND, request->dead_letter_id, resend->by, resend->why);
    if (check_id(problem, "request_id", request->request_id, &resend->op.id) != ERR_OK ||
        check_id(problem, "dead_letter_id", request->dead_letter_id, &resend->letter_id) != ERR_OK)
        return problem->error;
    return check_person(problem, resend->by, resend->why);
}

static ProtobufCMessage *
resend_letter_encode(const void *op, struct arena *arena)
{
    Sagamesh__Alert__V1__ResendDeadLetterResponse *response = arena_take(arena, sizeof *response);

    sagamesh__alert__v1__resend_dead_letter_response__init(response);
    response->dead_letter = letter_message(&((const struct resend_letter *)op)->letter, arena);
    return &response->base;
}

/* clang-format off */
const struct method alert_methods[] = {
    /* name               op                                decode                    touch                    decide                    answer                    encode */
    { "ListAlerts",       sizeof(struct list_alerts),       list_alerts_decode,       NULL,                    NULL,                     NULL,                     list_alerts_encode       },
    { "GetAlert",         sizeof(struct get_alert),         get_alert_decode,         NULL,                    NULL,                     NULL,                     get_alert_encode         },
    { "AcknowledgeAlert", sizeof(struct acknowledge_alert), acknowledge_alert_decode, acknowledge_alert_touch, acknowledge_alert_decide, acknowledge_alert_answer, acknowledge_alert_encode },
    { "BeginRepair",      sizeof(struct begin_repair),      begin_repair_decode,      begin_repair_touch,      begin_repair_decide,      begin_repair_answer,      begin_repair_encode      },
    { "EndRepair",        sizeof(struct end_repair),        end_repair_decode,        end_repair_touch,        end_repair_decide,        end_repair_answer,        end_repair_encode        },
    { "ListDeadLetters",  sizeof(struct list_letters),      list_letters_decode,      NULL,                    NULL,                     NULL,                     list_letters_encode      },
    { "GetDeadLetter",    sizeof(struct get_letter),        get_letter_decode,        NULL,                    NULL,                     NULL,                     get_letter_encode        },
    { "ResendDeadLetter", sizeof(struct resend_letter),     resend_letter_decode,     resend_letter_touch,     resend_letter_decide,     resend_letter_answer,     resend_letter_encode     },
    { 0 },
};
/* clang-format on */
