/* Words of two, as "alerts show ID" and "dlq send ID", and what both words ask. */
#include "sagactl/ctl_alerts.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum ctl_exit
ctl_run_part(struct ctl *ctl, const struct ctl_part *parts,
             enum ctl_exit (*list)(struct ctl *ctl, struct ctl_client *client))
{
    enum ctl_exit (*run)(struct ctl * ctl, struct ctl_client * client) = list;
    struct ctl_client *client;
    enum ctl_exit status;

    if (ctl->argument_count > 0) {
        while (parts->word != NULL && strcmp(parts->word, ctl->arguments[0]) != 0)
            parts++;
        if (parts->word == NULL)
            return ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "sagactl --help lists the words.",
                            "there is no word '%s %s'", ctl->word, ctl->arguments[0]);
        if (ctl->argument_count < 2)
            return ctl_fail(
                ctl, CTL_USAGE, "BAD_REQUEST",
                arena_print(ctl->arena, "sagactl %s shows the ids there are.", ctl->word),
                "%s %s needs an id", ctl->word, parts->word);
        ctl->ids = ctl->word;
        ctl->word = arena_print(ctl->arena, "%s %s", ctl->word, parts->word);
        ctl->arguments++;
        ctl->argument_count--;
        if (ctl_id_argument(ctl) == NULL)
            return CTL_USAGE;
        run = parts->run;
    }
    client = ctl_client_open(ctl, "alerts", ctl->alerts);
    status = client == NULL ? CTL_USAGE : run(ctl, client);
    ctl_client_close(client);
    return status;
}

const char *
ctl_operator(const struct ctl *ctl)
{
    const struct passwd *person = ctl->person[0] == '\0' ? getpwuid(getuid()) : NULL;
    const char *name = ctl->person[0] != '\0' ? ctl->person : person != NULL ? person->pw_name : "";

    if (ctl->reason[0] == '\0') {
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "--reason='what you know of it'; it is kept.",
                 "%s needs a reason", ctl->word);
        return NULL;
    }
    if (name[0] == '\0') {
        ctl_fail(ctl, CTL_USAGE, "BAD_REQUEST", "--operator=NAME; it is kept.",
                 "%s needs to know who you are", ctl->word);
        return NULL;
    }
    return arena_print(ctl->arena, "%s", name);
}

const ProtobufCMessage *
ctl_ask_change(struct ctl *ctl, struct ctl_client *client, const char *method,
               const ProtobufCMessage *request, const char *request_id)
{
    const ProtobufCMessage *answer = ctl_client_ask(client, CTL_ALERTS, method, request);

    if (answer == NULL)
        ctl_client_say_again(client, ctl->arguments[0], request_id);
    return answer;
}

const Sagamesh__Alert__V1__GetAlertResponse *
ctl_alert_get(struct ctl_client *client, const char *alert_id)
{
    Sagamesh__Alert__V1__GetAlertRequest request = SAGAMESH__ALERT__V1__GET_ALERT_REQUEST__INIT;

    request.alert_id = (char *)(uintptr_t)alert_id;
    return (const Sagamesh__Alert__V1__GetAlertResponse *)ctl_client_ask(client, CTL_ALERTS,
                                                                         "GetAlert", &request.base);
}
