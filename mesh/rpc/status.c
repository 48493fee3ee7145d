#include "mesh/rpc/status.h"
#include "mesh/base/clock.h"
#include "mesh/base/utf8.h"

#include <google/protobuf/duration.pb-c.h>
#include <google/rpc/error_details.pb-c.h>

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define ERROR_INFO_TYPE "type.googleapis.com/google.rpc.ErrorInfo"
#define BAD_REQUEST_TYPE "type.googleapis.com/google.rpc.BadRequest"
#define RETRY_INFO_TYPE "type.googleapis.com/google.rpc.RetryInfo"
#define RETRY_US_MAX (5 * SECOND_US)

enum { BUSY_RETRY_NS = 100 * 1000 * 1000 };
enum { METADATA_MAX = 5 }; /* field, rule, service, nothing_done, stored */

/* A rule has no subject of its own: the field that broke it is told before it. */
char *
rpc_status_message(const struct problem *problem, struct arena *arena)
{
    if (problem->text[0] == '\0')
        return utf8_repair(error_text(problem->error), arena);
    if (problem->error == ERR_BAD_REQUEST && problem->field[0] != '\0')
        return utf8_repair(arena_print(arena, "%s %s", problem->field, problem->text), arena);
    return utf8_repair(problem->text, arena);
}

static void
metadata_add(Google__Rpc__ErrorInfo *info, struct arena *arena, const char *key, const char *value)
{
    Google__Rpc__ErrorInfo__MetadataEntry *entry = arena_take(arena, sizeof *entry);

    assert(info->n_metadata < METADATA_MAX);
    google__rpc__error_info__metadata_entry__init(entry);
    entry->key = (char *)(uintptr_t)key;
    entry->value = utf8_repair(value, arena);
    info->metadata[info->n_metadata++] = entry;
}

static Google__Rpc__ErrorInfo *
info_make(const struct problem *problem, const char *service, struct arena *arena)
{
    Google__Rpc__ErrorInfo *info = arena_take(arena, sizeof *info);
    const char *reason = problem->reason[0] != '\0' ? problem->reason : error_name(problem->error);

    google__rpc__error_info__init(info);
    info->reason = utf8_repair(reason, arena);
    info->domain = (char *)(uintptr_t)RPC_STATUS_DOMAIN;
    info->metadata = arena_take(arena, METADATA_MAX * sizeof *info->metadata);
    if (problem->field[0] != '\0')
        metadata_add(info, arena, "field", problem->field);
    if (problem->text[0] != '\0' &&
        (problem->field[0] != '\0' || error_kind(problem->error) == ERROR_KIND_REFUSAL))
        metadata_add(info, arena, "rule", problem->text);
    if (service != NULL && error_kind(problem->error) == ERROR_KIND_REFUSAL)
        metadata_add(info, arena, "service", service);
    if (error_kind(problem->error) == ERROR_KIND_NOT_DONE)
        metadata_add(info, arena, "nothing_done", "true");
    if (problem->is_stored)
        metadata_add(info, arena, "stored", "true");
    return info;
}

enum { DETAILS_MAX = 3 };

static void
detail_add(Google__Rpc__Status *status, const char *type, const ProtobufCMessage *message,
           struct arena *arena)
{
    Google__Protobuf__Any *detail = arena_take(arena, sizeof *detail);

    google__protobuf__any__init(detail);
    detail->type_url = (char *)(uintptr_t)type;
    detail->value.len = protobuf_c_message_get_packed_size(message);
    detail->value.data = arena_take(arena, detail->value.len);
    protobuf_c_message_pack(message, detail->value.data);
    status->details[status->n_details++] = detail;
}

/* What clients of other programs' errors read; our own read the ErrorInfo. */
static void
bad_request_add(Google__Rpc__Status *status, const struct problem *problem, struct arena *arena)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = { &violation };
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;

    violation.field = utf8_repair(problem->field, arena);
    violation.description = utf8_repair(problem->text, arena);
    bad.field_violations = violations;
    bad.n_field_violations = 1;
    detail_add(status, BAD_REQUEST_TYPE, &bad.base, arena);
}

Google__Rpc__Status *
rpc_status_make(const struct problem *problem, const char *service, struct arena *arena)
{
    Google__Rpc__ErrorInfo *info = info_make(problem, service, arena);
    Google__Rpc__Status *status = arena_take(arena, sizeof *status);
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;

    delay.nanos = BUSY_RETRY_NS;
    retry.retry_delay = &delay;
    assert(problem->error != ERR_OK);
    google__rpc__status__init(status);
    status->code = (int32_t)error_wire_code(problem->error);
    status->message = rpc_status_message(problem, arena);
    status->details = arena_take(arena, DETAILS_MAX * sizeof *status->details);
    detail_add(status, ERROR_INFO_TYPE, &info->base, arena);
    if (problem->error == ERR_BAD_REQUEST && problem->field[0] != '\0')
        bad_request_add(status, problem, arena);
    if (problem->error == ERR_BUSY)
        detail_add(status, RETRY_INFO_TYPE, &retry.base, arena);
    return status;
}

size_t
rpc_status_pack(const struct problem *problem, const char *service, struct arena *arena,
                uint8_t **ret_bytes)
{
    Google__Rpc__Status *status = rpc_status_make(problem, service, arena);
    size_t count = google__rpc__status__get_packed_size(status);

    *ret_bytes = arena_take(arena, count);
    return google__rpc__status__pack(status, *ret_bytes);
}

static void
info_read(const Google__Rpc__ErrorInfo *info, struct rpc_error_info *ret_info)
{
    snprintf(ret_info->reason, sizeof ret_info->reason, "%s", info->reason);
    snprintf(ret_info->domain, sizeof ret_info->domain, "%s", info->domain);
    for (size_t i = 0; i < info->n_metadata; i++) {
        const char *key = info->metadata[i]->key, *value = info->metadata[i]->value;

        if (strcmp(key, "field") == 0)
            snprintf(ret_info->field, sizeof ret_info->field, "%s", value);
        else if (strcmp(key, "rule") == 0)
            snprintf(ret_info->rule, sizeof ret_info->rule, "%s", value);
        else if (strcmp(key, "service") == 0)
            snprintf(ret_info->service, sizeof ret_info->service, "%s", value);
        else if (strcmp(key, "nothing_done") == 0)
            ret_info->nothing_done = strcmp(value, "true") == 0;
        else if (strcmp(key, "stored") == 0)
            ret_info->is_stored = strcmp(value, "true") == 0;
    }
}

static void
error_info_read(const Google__Protobuf__Any *detail, struct rpc_error_info *ret_info)
{
    Google__Rpc__ErrorInfo *info =
        google__rpc__error_info__unpack(NULL, detail->value.len, detail->value.data);

    if (info == NULL)
        return;
    info_read(info, ret_info);
    google__rpc__error_info__free_unpacked(info, NULL);
}

/* A stranger may say any time. */
static void
retry_info_read(const Google__Protobuf__Any *detail, struct rpc_error_info *ret_info)
{
    Google__Rpc__RetryInfo *retry =
        google__rpc__retry_info__unpack(NULL, detail->value.len, detail->value.data);
    const Google__Protobuf__Duration *delay = retry == NULL ? NULL : retry->retry_delay;

    if (delay != NULL && delay->seconds >= 0 && delay->nanos >= 0)
        ret_info->retry_us = delay->seconds >= RETRY_US_MAX / SECOND_US
                                 ? RETRY_US_MAX
                                 : delay->seconds * SECOND_US + delay->nanos / 1000;
    if (retry != NULL)
        google__rpc__retry_info__free_unpacked(retry, NULL);
}

/* The first ErrorInfo that can be read. */
void
rpc_status_read(const Google__Rpc__Status *status, struct rpc_error_info *ret_info)
{
    memset(ret_info, 0, sizeof *ret_info);
    for (size_t i = 0; status != NULL && i < status->n_details; i++) {
        const Google__Protobuf__Any *detail = status->details[i];

        if (strcmp(detail->type_url, ERROR_INFO_TYPE) == 0 && ret_info->reason[0] == '\0')
            error_info_read(detail, ret_info);
        else if (strcmp(detail->type_url, RETRY_INFO_TYPE) == 0)
            retry_info_read(detail, ret_info);
    }
}

void
rpc_status_unpack(const uint8_t *bytes, size_t count, struct rpc_error_info *ret_info)
{
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, count, bytes);

    rpc_status_read(status, ret_info);
    if (status != NULL)
        google__rpc__status__free_unpacked(status, NULL);
}
