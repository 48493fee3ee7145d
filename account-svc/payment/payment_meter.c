/* payment_meter.c -- What the database is asked of payments now and then. */
#include "account-svc/payment/payment_meter.h"

/* Few ever need a person, so the index of these is small. Words: payment_trouble.c. */
static const struct pg_statement in_trouble =
    ASKED_STATEMENT("payments_in_trouble",
                    "SELECT (ARRAY['QUARANTINED', 'REFUND_REFUSED', 'REFUND_UNANSWERED', "
                    "'UNREADABLE', 'UNANSWERED',"
                    " 'STILL_OPEN'])[trouble], count(*), 0::bigint FROM"
                    " (SELECT trouble FROM payment WHERE needs_person AND $1::bigint > 0"
                    " ORDER BY id LIMIT " ASKED_LIMIT ") AS p WHERE trouble > 0 GROUP BY trouble");

static const struct pg_statement unheard = ASKED_STATEMENT(
    "signals_unheard",
    "SELECT '', count(*), coalesce(greatest(mesh_now_us($1) - min(changed_at_us), 0), 0)::bigint"
    " FROM (SELECT changed_at_us FROM payment WHERE signaled_version < version"
    " ORDER BY signal_due_us LIMIT " ASKED_LIMIT ") AS p");

/* Providers are few: the index is walked from one to the next. */
static const struct pg_statement tasks_waiting = ASKED_STATEMENT(
    "tasks_waiting",
    "WITH RECURSIVE names(provider) AS ("
    " (SELECT provider FROM provider_task WHERE provider > '' ORDER BY provider LIMIT 1)"
    " UNION ALL SELECT (SELECT t.provider FROM provider_task t"
    " WHERE t.provider > n.provider ORDER BY t.provider LIMIT 1)"
    " FROM names n WHERE n.provider IS NOT NULL)"
    " SELECT n.provider, count(t.due_us),"
    " coalesce(greatest(mesh_now_us($1) - min(t.due_us), 0), 0)::bigint"
    " FROM names n CROSS JOIN unnest('{0,1,2,3,4}'::int[]) AS e(errand)"
    " LEFT JOIN LATERAL (SELECT due_us FROM provider_task t WHERE t.provider = n.provider"
    " AND t.errand = e.errand AND t.due_us <= mesh_now_us($1) ORDER BY t.due_us LIMIT 1000) t"
    " ON true WHERE n.provider IS NOT NULL GROUP BY n.provider");

/* clang-format off */
static const char *const troubles[] = { "QUARANTINED", "REFUND_REFUSED", "REFUND_UNANSWERED", "UNREADABLE", "UNANSWERED", "STILL_OPEN", NULL };
_Static_assert(sizeof troubles / sizeof *troubles == TROUBLE_COUNT, "one for each, and the end for none");

const struct asked_row payment_asked[] = {
    { &in_trouble,    { { "sagamesh_payments_in_trouble",        METRIC_GAUGE, METRIC_NUMBER,  "Payments that need a person, counted up to 10,000.",                                     { "trouble" } } }, troubles },
    { &unheard,       { { "sagamesh_signals_unheard",            METRIC_GAUGE, METRIC_NUMBER,  "Payments whose sagas have not said that they know how these stand, up to 10,000.",       { NULL } },
                        { "sagamesh_signal_oldest_seconds",      METRIC_GAUGE, METRIC_SECONDS, "Since when the longest unheard of them has changed; 0: there is none.",                  { NULL } } }, NULL },
    { &tasks_waiting, { { "sagamesh_provider_tasks_due",         METRIC_GAUGE, METRIC_NUMBER,  "Tasks that are due and not begun, counted up to 1,000 of each errand.",                  { "provider" } },
                        { "sagamesh_provider_task_late_seconds", METRIC_GAUGE, METRIC_SECONDS, "How long the oldest of them has been due; 0: none is.",                                  { "provider" } } }, NULL },
    { 0 },
};
/* clang-format on */
