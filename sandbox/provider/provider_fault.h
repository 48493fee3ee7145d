/* provider_fault.h -- What can go wrong with a payment on demand: one row per fault.
 *
 * In JSON a fault is a text, "NAME", "NAME:MS" or "NAME:MS*TIMES" ("late:1500", "error-500*3").
 *
 * Thread    Plain data.
 * Units     value_ms milliseconds; uses_left how often it still strikes, -1 always, 0 not at all.
 */
#ifndef SANDBOX_PROVIDER_FAULT_H
#define SANDBOX_PROVIDER_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
    FAULT_LOST,
    FAULT_DOUBLED,
    FAULT_LATE,
    FAULT_REORDERED,
    FAULT_WRONG_SIGNATURE,
    FAULT_WRONG_AMOUNT,
    FAULT_WRONG_AMOUNT_BOOKS,
    FAULT_ERROR_500,
    FAULT_SLOW,
    FAULT_TIMEOUT_AFTER,
    FAULT_PAYS_LATE,
    FAULT_DECLINES,
    FAULT_REFUSES,
    FAULT_CANCEL_500,
    FAULT_REFUND_500,
    FAULT_COUNT
};

enum { FAULT_MS_MAX = 600 * 1000, FAULT_TIMES_MAX = 1000000, FAULT_TEXT_BYTES = 64 };

struct fault_setting {
    int64_t value_ms, uses_left;
};

struct faults {
    struct fault_setting of[FAULT_COUNT];
};

/* Adds the fault that text names. times of -1 leaves the row's or the text's own. False: no such. */
bool faults_add(struct faults *faults, const char *text, int64_t times);

const char *fault_name(enum fault fault); /* "late" */

/* "late:1500*-1"; returns text. */
char *fault_print(enum fault fault, const struct fault_setting *setting,
                  char text[FAULT_TEXT_BYTES]);

/* The choice of a run that must repeat: depends on seed and id only. percent payments of 100 get one
 * fault; those that only a person can settle are never chosen. */
void faults_choose(struct faults *faults, int64_t seed, int64_t percent, const char *payment_id);

bool fault_is_on(const struct faults *faults, enum fault fault);

/* The same, and one use of it is gone. */
bool fault_use(struct faults *faults, enum fault fault);

#endif
