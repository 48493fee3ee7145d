/* ctl_alerts.h -- What the words about alerts and dead letters have in common.
 *
 * Memory    Texts live in ctl->arena.
 */
#ifndef CTL_ALERTS_H
#define CTL_ALERTS_H

#include "sagactl/ctl_client.h"

#include <sagamesh/alert/v1/alert_service.pb-c.h>

#define CTL_ALERTS (&sagamesh__alert__v1__alert_service__descriptor)

/* A word's second word, with what is behind it. A list ends with a row of zeros. */
struct ctl_part {
    const char *word; /* "show"; needs an id */
    enum ctl_exit (*run)(struct ctl *ctl, struct ctl_client *client);
};

/* Without a second word runs list, else that part, over alerts-svc. */
enum ctl_exit ctl_run_part(struct ctl *ctl, const struct ctl_part *parts,
                           enum ctl_exit (*list)(struct ctl *ctl, struct ctl_client *client));

/* --operator, else who is logged in. NULL after saying that neither is there, or that --reason is not. */
const char *ctl_operator(const struct ctl *ctl);

/* Asks alerts-svc for a change that a person wants, under request_id. NULL after saying why there is no answer, and how the
 * same is said again safely. */
const ProtobufCMessage *ctl_ask_change(struct ctl *ctl, struct ctl_client *client,
                                       const char *method, const ProtobufCMessage *request,
                                       const char *request_id);

const Sagamesh__Alert__V1__GetAlertResponse *ctl_alert_get(struct ctl_client *client,
                                                           const char *alert_id);

enum ctl_exit ctl_alerts_repair(struct ctl *ctl, struct ctl_client *client);

#endif
