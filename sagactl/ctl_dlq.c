/* Dead letters: dlq lists records of Kafka that could not be read, shows one, and has it sent to its topic again. */
#include "mesh/base/clock.h"
#include "mesh/base/terminal.h"
#include "mesh/base/text.h"
#include "sagactl/ctl_alerts.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_BYTES = 2000 }; /* of a value, to people */

/* ---- list ---- */

static void
letter_json(struct json_writer *writer, const Sagamesh__Alert__V1__DeadLetter *letter)
{
    json_put_text(writer, "dead_letter_id", letter->dead_letter_id);
    json_put_text(writer, "topic", letter->topic);
    json_put_int(writer, "partition", letter->partition);
    json_put_int(writer, "offset", letter->offset);
    json_put_text(writer, "reason", letter->reason);
    json_put_int(writer, "found_at_us", letter->found_at_us);
    json_put_int(writer, "sent_at_us", letter->sent_at_us);
    json_put_int(writer, "resends", letter->resends);
    json_put_int(writer, "resent_at_us", letter->resent_at_us);
    json_put_bool(writer, "is_resend_due", letter->is_resend_due);
    json_put_text(writer, "resend_by", letter->resend_by);
    json_put_text(writer, "resend_reason", letter->resend_reason);
    json_put_int(writer, "refused_at_us", letter->refused_at_us);
    json_put_text(writer, "refusal", letter->refusal);
}

/* That Kafka refuses it; or how often it was sent to its topic, or that it is about to be. */
static const char *
again_text(const Sagamesh__Alert__V1__DeadLetter *letter, struct arena *arena)
{
    if (letter->refused_at_us != 0)
        return "refused";
    if (letter->is_resend_due)
        return "due";
    return letter->resends == 0 ? "-" : arena_print(arena, "%d times", letter->resends);
}

static void
page_show(struct ctl_pages *pages, const Sagamesh__Alert__V1__ListDeadLettersResponse *page)
{
    struct ctl *ctl = pages->ctl;
    int64_t now_us = clock_now_us();

    for (size_t i = 0; i < page->n_dead_letters; i++) {
        const Sagamesh__Alert__V1__DeadLetter *letter = page->dead_letters[i];

        if (pages->shown++ == 0 && !ctl->is_json)
            printf("%-36s  %-26s %4s %10s %8s  %-9s  %s\n", "dead letter", "topic", "part",
                   "offset", "age", "again", "why");
        if (!ctl->is_json) {
            printf("%-36s  %-26s %4d %10" PRId64 " %8s  %-9s  %s\n", letter->dead_letter_id,
                   ctl_clean_text(letter->topic, ctl->arena), letter->partition, letter->offset,
                   ctl_age_text(now_us - letter->found_at_us, ctl->arena),
                   again_text(letter, ctl->arena), ctl_clean_text(letter->reason, ctl->arena));
            continue;
        }
        json_open_object(&pages->json, NULL);
        letter_json(&pages->json, letter);
        json_close_object(&pages->json);
    }
}

static enum ctl_exit
list(struct ctl *ctl, struct ctl_client *client)
{
    struct ctl_pages pages;

    ctl_pages_open(&pages, ctl, "dead_letters");
    while (ctl_pages_more(&pages)) {
        Sagamesh__Alert__V1__ListDeadLettersRequest request =
            SAGAMESH__ALERT__V1__LIST_DEAD_LETTERS_REQUEST__INIT;
        const Sagamesh__Alert__V1__ListDeadLettersResponse *page;

        request.page_size = ctl_pages_size(&pages);
        request.page_token = pages.token;
        page = (const Sagamesh__Alert__V1__ListDeadLettersResponse *)ctl_client_ask(
            client, CTL_ALERTS, "ListDeadLetters", &request.base);
        if (page == NULL)
            return ctl_pages_fail(&pages, ctl_client_exit(client));
        page_show(&pages, page);
        ctl_pages_next(&pages, page->next_page_token);
    }
    return ctl_pages_end(&pages, "there are no dead letters");
}

/* ---- show ---- */

/* Bytes of a stranger, for people: what is no printable ASCII is a dot. */
static const char *
bytes_text(ProtobufCBinaryData bytes, struct arena *arena)
{
    size_t count = bytes.len < SHOWN_BYTES ? bytes.len : SHOWN_BYTES;
    char *text = arena_copy(arena, (const char *)bytes.data, count);

    for (size_t i = 0; i < count; i++) {
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '.';
    }
    return count < bytes.len ? arena_print(arena, "%s...", text) : text;
}

static void
show_print(const Sagamesh__Alert__V1__GetDeadLetterResponse *got, struct arena *arena)
{
    const Sagamesh__Alert__V1__DeadLetter *letter = got->dead_letter;

    printf("dead letter %s\n", letter->dead_letter_id);
    printf("record      %s, partition %d, offset %" PRId64 ", of %s\n",
           ctl_clean_text(letter->topic, arena), letter->partition, letter->offset,
           ctl_time_text(got->timestamp_ms * 1000, arena));
    printf("why         %s\n", ctl_clean_text(letter->reason, arena));
    printf("found       %s\n", ctl_time_text(letter->found_at_us, arena));
    if (letter->sent_at_us != 0)
        printf("sent        %s, to its topic's dead letters\n",
               ctl_time_text(letter->sent_at_us, arena));
    if (letter->resends > 0 || letter->is_resend_due)
        printf("again       %s, asked for by %s: %s\n", again_text(letter, arena),
               ctl_clean_text(letter->resend_by, arena),
               ctl_clean_text(letter->resend_reason, arena));
    if (letter->refusal[0] != '\0')
        printf(
            "refused     %s%s\n", ctl_clean_text(letter->refusal, arena),
            letter->refused_at_us == 0
                ? ""
                : arena_print(arena, ", given up %s", ctl_time_text(letter->refused_at_us, arena)));
    printf("key         %s\n", got->has_key ? bytes_text(got->key, arena) : "none");
    for (size_t i = 0; i < got->n_headers; i++)
        printf("header      %s: %s\n", ctl_clean_text(got->headers[i]->name, arena),
               bytes_text(got->headers[i]->value, arena));
    printf("value       %s\n", got->has_value
                                   ? arena_print(arena, "%" PRId64 " bytes\n%s", got->value_bytes,
                                                 bytes_text(got->value, arena))
                                   : "none: a tombstone");
}

/* Programs get all bytes as they are. */
static void
put_bytes(struct json_writer *writer, const char *key, ProtobufCBinaryData bytes,
          struct arena *arena)
{
    json_put_text(writer, key,
                  text_print_base64(bytes.data, bytes.len,
                                    arena_take(arena, TEXT_BASE64_BYTES(bytes.len) + 1)));
}

static void
show_json(const Sagamesh__Alert__V1__GetDeadLetterResponse *got, struct arena *arena)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    letter_json(&writer, got->dead_letter);
    json_put_int(&writer, "timestamp_ms", got->timestamp_ms);
    if (got->has_key)
        put_bytes(&writer, "key_base64", got->key, arena);
    if (got->has_value)
        put_bytes(&writer, "value_base64", got->value, arena);
    json_put_int(&writer, "value_bytes", got->value_bytes);
    json_open_array(&writer, "headers");
    for (size_t i = 0; i < got->n_headers; i++) {
        json_open_object(&writer, NULL);
        json_put_text(&writer, "name", got->headers[i]->name);
        put_bytes(&writer, "value_base64", got->headers[i]->value, arena);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

static enum ctl_exit
show(struct ctl *ctl, struct ctl_client *client)
{
    Sagamesh__Alert__V1__GetDeadLetterRequest request =
        SAGAMESH__ALERT__V1__GET_DEAD_LETTER_REQUEST__INIT;
    const Sagamesh__Alert__V1__GetDeadLetterResponse *got;

    request.dead_letter_id = ctl->arguments[0];
    got = (const Sagamesh__Alert__V1__GetDeadLetterResponse *)ctl_client_ask(
        client, CTL_ALERTS, "GetDeadLetter", &request.base);
    if (got == NULL || got->dead_letter == NULL)
        return got == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    if (ctl->is_json)
        show_json(got, ctl->arena);
    else
        show_print(got, ctl->arena);
    return CTL_DONE;
}

/* ---- send ---- */

static enum ctl_exit
send(struct ctl *ctl, struct ctl_client *client)
{
    Sagamesh__Alert__V1__ResendDeadLetterRequest request =
        SAGAMESH__ALERT__V1__RESEND_DEAD_LETTER_REQUEST__INIT;
    const Sagamesh__Alert__V1__ResendDeadLetterResponse *answer;
    const char *person = ctl_operator(ctl);
    struct json_writer writer = { 0 };

    if (person == NULL)
        return CTL_USAGE;
    request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    request.dead_letter_id = ctl->arguments[0];
    request.operator_ = (char *)(uintptr_t)person;
    request.reason = (char *)(uintptr_t)ctl->reason;
    answer = (const Sagamesh__Alert__V1__ResendDeadLetterResponse *)ctl_ask_change(
        ctl, client, "ResendDeadLetter", &request.base, request.request_id);
    if (answer == NULL || answer->dead_letter == NULL)
        return answer == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    if (!ctl->is_json) {
        printf("%s goes to %s, partition %d, again; one that cannot be read becomes another dead"
               " letter\n",
               ctl->arguments[0], ctl_clean_text(answer->dead_letter->topic, ctl->arena),
               answer->dead_letter->partition);
        return CTL_DONE;
    }
    json_open_object(&writer, NULL);
    letter_json(&writer, answer->dead_letter);
    json_close_object(&writer);
    ctl_print_json(&writer);
    return CTL_DONE;
}

enum ctl_exit
ctl_dlq(struct ctl *ctl)
{
    static const struct ctl_part parts[] = { { "show", show }, { "send", send }, { 0 } };

    return ctl_run_part(ctl, parts, list);
}
