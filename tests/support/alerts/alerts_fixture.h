/* alerts_fixture.h -- What people ask of alerts-svc, as a client would: messages, decoded, packed; and rows as
 * a shard's page writes them.
 *
 * Memory    As in service_fixture.h.
 */
#ifndef TESTS_SUPPORT_ALERTS_ALERTS_FIXTURE_H
#define TESTS_SUPPORT_ALERTS_ALERTS_FIXTURE_H

#include "alerts/alert.h"
#include "alerts/dead_letter.h"
#include "alerts/notice.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <sagamesh/alert/v1/alert_service.pb-c.h>

#define ALERTS(name) Sagamesh__Alert__V1__##name
#define ALERTS_INIT(name) SAGAMESH__ALERT__V1__##name##__INIT

extern const struct service_parts alerts_parts;

struct test_call *alerts_acknowledge(struct uuid id, struct uuid alert_id, const char *person,
                                     const char *why);
struct test_call *alerts_begin(struct uuid id, struct uuid alert_id, const char *person,
                               const char *why);
struct test_call *alerts_end(struct uuid id, struct uuid repair_id, bool is_done,
                             const char *outcome);
struct test_call *alerts_resend(struct uuid id, struct uuid letter_id, const char *person,
                                const char *why);

/* Each over a connection of its own, committed. detected_us also tells when it began. */
void alerts_raise(struct uuid id, const char *rule, int64_t detected_us);
void alerts_resolve(struct uuid id, int64_t resolved_us);
void alerts_dead_letter(struct uuid id, const char *topic, int64_t place);
void alerts_notice(struct uuid alert_id, const char *state, const char *destination,
                   int64_t made_us);

#endif
