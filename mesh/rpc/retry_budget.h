/* retry_budget.h -- How many calls may be made again: 20 % of the calls, and 10 a second.
 *
 * When a service is away every call fails, and each that is made again is load that the service gets when it can
 * bear it least. So retries are paid for with tokens. A call brings a fifth of one, a second 10; what may be saved is what 10 s
 * bring, so that a calm night does not pay for a storm.
 *
 * Thread    One.
 * Units     *_us microseconds by clock_steady_us().
 */
#ifndef MESH_RPC_RETRY_BUDGET_H
#define MESH_RPC_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RETRY_BUDGET_PERCENT = 20,
    RETRY_BUDGET_A_SECOND = 10,
    RETRY_BUDGET_SECONDS = 10,
};

struct retry_budget {
    int64_t second; /* of the last call or retry */
    int64_t calls[RETRY_BUDGET_SECONDS];
    int64_t hundredths; /* of a token */
};

/* Full, as it is when there was no call for long. */
void retry_budget_init(struct retry_budget *budget, int64_t now_us);

/* A call is made for the first time. */
void retry_budget_call(struct retry_budget *budget, int64_t now_us);

/* May one be made again? Then it is paid. */
bool retry_budget_take(struct retry_budget *budget, int64_t now_us);

#endif
