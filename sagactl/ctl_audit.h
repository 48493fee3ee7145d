/* ctl_audit.h -- The audit: the rules of audit_rules.h on a system that works.
 *
 *   ctl_audit.c        the word: walks through all there is, looks again, tells
 *   ctl_audit_look.c   asks the services for the facts of a page, and applies the rules
 *   ctl_audit_tell.c   tells a finding
 *   ctl_audit_sums.c   has each service recompute what it holds
 *   audit_rules.c      the rules
 *
 * First everything is walked through, page by page; what breaks a rule is only kept by its id. Since the
 * system moved while it was read, those are looked at once more after --pause, each by itself, and what
 * breaks a rule again is a finding.
 *
 * Memory    A page, and AUDIT_SUSPECTS_MAX ids.
 * Errors    Who does not answer ends the audit: CTL_NOT_LOOKED.
 */
#ifndef CTL_AUDIT_H
#define CTL_AUDIT_H

#include "mesh/base/uuid.h"
#include "sagactl/audit_rules.h"
#include "sagactl/ctl_client.h"

enum {
    AUDIT_SUSPECTS_MAX = 10000,
    CTL_NOT_LOOKED = 2, /* the exit status of an audit that could not look */
};

enum audit_kind { AUDIT_ORDER, AUDIT_HOLD, AUDIT_CHARGE, AUDIT_PAYMENT, AUDIT_KIND_COUNT };

struct audit {
    struct ctl *ctl;
    struct ctl_client *order, *storage, *account, *saga;
    struct ctl_client *alerts; /* NULL: it was not named, and is not asked */
    int64_t now_us, since_us, patience_us;
    bool is_second_look;
    struct uuid *suspects[AUDIT_KIND_COUNT];
    size_t suspect_count; /* of all kinds together */
    size_t counts[AUDIT_KIND_COUNT];
    bool has_more; /* suspects than are kept */
    int64_t looked_at[AUDIT_KIND_COUNT], findings;
    struct json_writer json;
};

/* ctl_audit_tell.c: what is found, printed. */
struct audit_finding {
    const char *code, *kind, *id, *what;
    const char *repair;   /* as in struct audit_rule */
    const char *order_id; /* that it is about; "": none, or itself */
};
void audit_tell(struct audit *audit, const struct audit_finding *finding);

/* ctl_audit_look.c: rows of a page against the rules. False: a service did not answer, which was said. */
bool audit_look_orders(struct audit *audit, Sagamesh__Order__V1__Order *const *orders,
                       size_t count);
bool audit_look_holds(struct audit *audit, Sagamesh__Storage__V1__Hold *const *holds, size_t count);
bool audit_look_charges(struct audit *audit, Sagamesh__Ledger__V1__Transfer *const *charges,
                        size_t count);
bool audit_look_payments(struct audit *audit, Sagamesh__Payment__V1__Payment *const *payments,
                         size_t count);

/* The same for what is known by its id, count of them at most AUDIT_CHUNK. */
enum { AUDIT_CHUNK = 256 };
bool audit_look_again(struct audit *audit, enum audit_kind kind, const struct uuid *ids,
                      size_t count);

/* ctl_audit_sums.c */
bool audit_sums(struct audit *audit);

#endif
