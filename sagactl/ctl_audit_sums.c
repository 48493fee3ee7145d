/* Sums: each service recomputes what it holds in one snapshot; here that is begun, awaited and told. */
#include "mesh/base/clock.h"
#include "sagactl/ctl_audit.h"

#include <sagamesh/audit/v1/audit_service.pb-c.h>
#include <stdio.h>
#include <time.h>

enum { LOOK_AGAIN_US = 250 * 1000 };

#define SERVICE (&sagamesh__audit__v1__audit_service__descriptor)

static const Sagamesh__Audit__V1__CheckResponse *
ask(struct ctl_client *client, const char *run_id)
{
    Sagamesh__Audit__V1__CheckRequest request = SAGAMESH__AUDIT__V1__CHECK_REQUEST__INIT;

    request.run_id = (char *)(uintptr_t)run_id;
    return (const Sagamesh__Audit__V1__CheckResponse *)ctl_client_ask(client, SERVICE, "Check",
                                                                      &request.base);
}

static void
tell(struct audit *audit, const Sagamesh__Audit__V1__CheckResponse *answer)
{
    for (size_t i = 0; i < answer->n_disagreements; i++) {
        const Sagamesh__Audit__V1__Disagreement *row = answer->disagreements[i];
        struct arena *arena = audit->ctl->arena;
        struct audit_finding finding = {
            .code = "SUM",
            .kind = "sum",
            .id = row->key,
            .what = arena_print(arena, "%s: stored %s, its parts add up to %s", row->what,
                                row->stored[0] == '\0' ? "nothing" : row->stored,
                                row->computed[0] == '\0' ? "nothing" : row->computed),
            .repair = "no word repairs it: docs/OPERATING.md, \"What an audit finds\"",
            .order_id = "",
        };

        audit_tell(audit, &finding);
    }
    audit->has_more = audit->has_more || answer->has_more;
}

/* Waits for as long as it takes: a person, or who began this, ends it. */
static const Sagamesh__Audit__V1__CheckResponse *
wait_for_end(struct audit *audit, struct ctl_client *client, const char *name, const char *run_id)
{
    const struct timespec pause = { .tv_nsec = LOOK_AGAIN_US * 1000 };
    int64_t told_at_us = clock_steady_us();

    for (;;) {
        const Sagamesh__Audit__V1__CheckResponse *answer = ask(client, run_id);

        if (answer == NULL || !answer->is_running)
            return answer;
        if (!audit->ctl->is_json && clock_steady_us() - told_at_us > 10 * SECOND_US) {
            fprintf(stderr, "sagactl: %s-svc still adds up\n", name);
            told_at_us = clock_steady_us();
        }
        nanosleep(&pause, NULL);
    }
}

bool
audit_sums(struct audit *audit)
{
    /* clang-format off */
    const struct { const char *name; struct ctl_client *client; } all[] = {
        { "order",   audit->order },
        { "storage", audit->storage },
        { "account", audit->account },
        { "alerts",  audit->alerts },
    };
    /* clang-format on */
    const size_t count = sizeof all / sizeof *all - (audit->alerts == NULL ? 1 : 0);
    const Sagamesh__Audit__V1__CheckResponse *answers[sizeof all / sizeof *all];

    for (size_t i = 0; i < count; i++) {
        ctl_client_stay(all[i].client);
        answers[i] = ask(all[i].client, "");
        if (answers[i] == NULL)
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        answers[i] = wait_for_end(audit, all[i].client, all[i].name, answers[i]->run_id);
        if (answers[i] == NULL)
            return false;
        if (answers[i]->problem[0] != '\0') {
            ctl_fail(audit->ctl, CTL_REFUSED, "CHECK_FAILED", "Its log says more.",
                     "%s-svc could not add up: %s", all[i].name, answers[i]->problem);
            return false;
        }
        tell(audit, answers[i]);
    }
    return true;
}
