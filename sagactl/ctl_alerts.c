/* Alerts: alerts lists them, shows one with its evidence, and acknowledges it. ctl_repair.c repairs. */
#include "sagactl/ctl_alerts.h"
#include "mesh/base/clock.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- list ---- */

/* Open: not resolved, and no operator has acknowledged it. */
static const char *
state_text(const Sagamesh__Alert__V1__Alert *alert)
{
    if (alert->resolved_at_us != 0)
        return "resolved";
    return alert->acknowledged_at_us != 0 ? "acknowledged" : "open";
}

static void
alert_print(const Sagamesh__Alert__V1__Alert *alert, int64_t now_us, struct arena *arena)
{
    printf("%-36s  %-12s %-8s %-12s %8s  %-36s  %s\n", alert->alert_id,
           ctl_clean_text(alert->rule, arena), ctl_clean_text(alert->severity, arena),
           state_text(alert), ctl_age_text(now_us - alert->detected_at_us, arena),
           ctl_clean_text(alert->subject, arena), ctl_clean_text(alert->acknowledged_by, arena));
}

static void
alert_json(struct json_writer *writer, const Sagamesh__Alert__V1__Alert *alert)
{
    json_put_text(writer, "alert_id", alert->alert_id);
    json_put_text(writer, "rule", alert->rule);
    json_put_text(writer, "severity", alert->severity);
    json_put_text(writer, "subject", alert->subject);
    json_put_text(writer, "state", alert->resolved_at_us != 0 ? "resolved" : "raised");
    json_put_int(writer, "occurred_at_us", alert->occurred_at_us);
    json_put_int(writer, "detected_at_us", alert->detected_at_us);
    json_put_int(writer, "resolved_at_us", alert->resolved_at_us);
    json_put_int(writer, "acknowledged_at_us", alert->acknowledged_at_us);
    json_put_text(writer, "acknowledged_by", alert->acknowledged_by);
    json_put_text(writer, "acknowledged_reason", alert->acknowledged_reason);
}

static void
page_show(struct ctl_pages *pages, const Sagamesh__Alert__V1__ListAlertsResponse *page)
{
    const struct ctl *ctl = pages->ctl;
    int64_t now_us = clock_now_us();

    for (size_t i = 0; i < page->n_alerts; i++) {
        if (pages->shown++ == 0 && !ctl->is_json)
            printf("%-36s  %-12s %-8s %-12s %8s  %-36s  %s\n", "alert", "rule", "severity", "state",
                   "age", "order or source", "acknowledged by");
        if (!ctl->is_json) {
            alert_print(page->alerts[i], now_us, ctl->arena);
            continue;
        }
        json_open_object(&pages->json, NULL);
        alert_json(&pages->json, page->alerts[i]);
        json_close_object(&pages->json);
    }
}

static enum ctl_exit
list(struct ctl *ctl, struct ctl_client *client)
{
    struct ctl_pages pages;

    ctl_pages_open(&pages, ctl, "alerts");
    while (ctl_pages_more(&pages)) {
        Sagamesh__Alert__V1__ListAlertsRequest request =
            SAGAMESH__ALERT__V1__LIST_ALERTS_REQUEST__INIT;
        const Sagamesh__Alert__V1__ListAlertsResponse *page;

        request.open_only = !ctl->has_ended;
        request.rule = (char *)(uintptr_t)ctl->rule;
        request.least_age_seconds = ctl->age_seconds;
        request.page_size = ctl_pages_size(&pages);
        request.page_token = pages.token;
        page = (const Sagamesh__Alert__V1__ListAlertsResponse *)ctl_client_ask(
            client, CTL_ALERTS, "ListAlerts", &request.base);
        if (page == NULL)
            return ctl_pages_fail(&pages, ctl_client_exit(client));
        page_show(&pages, page);
        ctl_pages_next(&pages, page->next_page_token);
    }
    return ctl_pages_end(&pages, ctl->has_ended ? "there are no alerts" : "no alert is open");
}

/* ---- show ---- */

/* Indented, in ASCII: nothing in it steers a terminal. */
static void
event_print(const char *what, const char *event)
{
    json_t *tree = json_loads(event, 0, NULL);
    char *text = tree == NULL ? NULL : json_dumps(tree, JSON_INDENT(2) | JSON_ENSURE_ASCII);

    if (text != NULL)
        printf("%s\n%s\n", what, text);
    free(text);
    json_decref(tree);
}

static void
repair_print(const Sagamesh__Alert__V1__Repair *repair, struct arena *arena)
{
    const char *line = repair->outcome;

    printf("repair   %s by %s, %s: %s\n", ctl_time_text(repair->begun_at_us, arena),
           ctl_clean_text(repair->operator_, arena),
           repair->ended_at_us == 0 ? "not ended"
           : repair->is_done        ? "done"
                                    : "something is open",
           ctl_clean_text(repair->reason, arena));
    while (*line != '\0') {
        size_t bytes = strcspn(line, "\n");

        printf("           %s\n", ctl_clean_text(arena_copy(arena, line, bytes), arena));
        line += bytes + (line[bytes] == '\n');
    }
}

static void
show_print(const Sagamesh__Alert__V1__GetAlertResponse *got, struct arena *arena)
{
    const Sagamesh__Alert__V1__Alert *alert = got->alert;

    printf("alert    %s\n", alert->alert_id);
    printf("rule     %s, %s; see docs/OPERATING.md\n", ctl_clean_text(alert->rule, arena),
           ctl_clean_text(alert->severity, arena));
    printf("about    %s\n", ctl_clean_text(alert->subject, arena));
    printf("since    %s, found %s\n", ctl_time_text(alert->occurred_at_us, arena),
           ctl_time_text(alert->detected_at_us, arena));
    if (alert->resolved_at_us != 0)
        printf("resolved %s\n", ctl_time_text(alert->resolved_at_us, arena));
    if (alert->acknowledged_at_us != 0)
        printf("seen     %s by %s: %s\n", ctl_time_text(alert->acknowledged_at_us, arena),
               ctl_clean_text(alert->acknowledged_by, arena),
               ctl_clean_text(alert->acknowledged_reason, arena));
    for (size_t i = 0; i < got->n_repairs; i++)
        repair_print(got->repairs[i], arena);
    event_print("its event when it was raised:", got->raised_event);
    event_print("and when it was resolved:", got->resolved_event);
}

static void
put_event(struct json_writer *writer, const char *key, const char *event)
{
    if (event[0] != '\0')
        json_put_raw(writer, key, event, strlen(event));
}

static void
show_json(const Sagamesh__Alert__V1__GetAlertResponse *got)
{
    struct json_writer writer = { 0 };

    json_open_object(&writer, NULL);
    alert_json(&writer, got->alert);
    put_event(&writer, "raised_event", got->raised_event);
    put_event(&writer, "resolved_event", got->resolved_event);
    json_open_array(&writer, "repairs");
    for (size_t i = 0; i < got->n_repairs; i++) {
        const Sagamesh__Alert__V1__Repair *repair = got->repairs[i];

        json_open_object(&writer, NULL);
        json_put_text(&writer, "repair_id", repair->repair_id);
        json_put_text(&writer, "operator", repair->operator_);
        json_put_text(&writer, "reason", repair->reason);
        json_put_int(&writer, "begun_at_us", repair->begun_at_us);
        json_put_int(&writer, "ended_at_us", repair->ended_at_us);
        json_put_bool(&writer, "is_done", repair->is_done);
        json_put_text(&writer, "outcome", repair->outcome);
        json_close_object(&writer);
    }
    json_close_array(&writer);
    json_close_object(&writer);
    ctl_print_json(&writer);
}

static enum ctl_exit
show(struct ctl *ctl, struct ctl_client *client)
{
    const Sagamesh__Alert__V1__GetAlertResponse *got = ctl_alert_get(client, ctl->arguments[0]);

    if (got == NULL || got->alert == NULL)
        return got == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    if (ctl->is_json)
        show_json(got);
    else
        show_print(got, ctl->arena);
    return CTL_DONE;
}

/* ---- ack ---- */

static enum ctl_exit
acknowledge(struct ctl *ctl, struct ctl_client *client)
{
    Sagamesh__Alert__V1__AcknowledgeAlertRequest request =
        SAGAMESH__ALERT__V1__ACKNOWLEDGE_ALERT_REQUEST__INIT;
    const Sagamesh__Alert__V1__AcknowledgeAlertResponse *answer;
    const char *person = ctl_operator(ctl);
    struct json_writer writer = { 0 };

    if (person == NULL)
        return CTL_USAGE;
    request.request_id = (char *)(uintptr_t)ctl_request_id(ctl);
    request.alert_id = ctl->arguments[0];
    request.operator_ = (char *)(uintptr_t)person;
    request.reason = (char *)(uintptr_t)ctl->reason;
    answer = (const Sagamesh__Alert__V1__AcknowledgeAlertResponse *)ctl_ask_change(
        ctl, client, "AcknowledgeAlert", &request.base, request.request_id);
    if (answer == NULL || answer->alert == NULL)
        return answer == NULL ? ctl_client_exit(client) : CTL_REFUSED;
    if (!ctl->is_json) {
        printf("%s is acknowledged by %s; it is resolved when news ends it\n", ctl->arguments[0],
               ctl_clean_text(person, ctl->arena));
        return CTL_DONE;
    }
    json_open_object(&writer, NULL);
    alert_json(&writer, answer->alert);
    json_close_object(&writer);
    ctl_print_json(&writer);
    return CTL_DONE;
}

enum ctl_exit
ctl_alerts(struct ctl *ctl)
{
    static const struct ctl_part parts[] = {
        { "show", show }, { "ack", acknowledge }, { "repair", ctl_alerts_repair }, { 0 }
    };

    return ctl_run_part(ctl, parts, list);
}
