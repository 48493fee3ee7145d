/* Calls are counted by second in a ring; a second that begins brings its tokens, and drops what is over the most that may
 * be saved. */
#include "mesh/rpc/retry_budget.h"
#include "mesh/base/clock.h"

#include <string.h>

enum { TOKEN = 100 };

static int64_t
most(const struct retry_budget *budget)
{
    int64_t calls = 0;

    for (int i = 0; i < RETRY_BUDGET_SECONDS; i++)
        calls += budget->calls[i];
    return calls * RETRY_BUDGET_PERCENT + RETRY_BUDGET_SECONDS * RETRY_BUDGET_A_SECOND * TOKEN;
}

/* Begins the second of now_us, and those that were left out since the last one. */
static void
go_to(struct retry_budget *budget, int64_t now_us)
{
    int64_t second = now_us / SECOND_US, passed = second - budget->second;

    if (passed <= 0)
        return;
    budget->hundredths += passed * RETRY_BUDGET_A_SECOND * TOKEN;
    for (int64_t i = 1; i <= passed && i <= RETRY_BUDGET_SECONDS; i++)
        budget->calls[(budget->second + i) % RETRY_BUDGET_SECONDS] = 0;
    budget->second = second;
    if (budget->hundredths > most(budget))
        budget->hundredths = most(budget);
}

void
retry_budget_init(struct retry_budget *budget, int64_t now_us)
{
    memset(budget, 0, sizeof *budget);
    budget->second = now_us / SECOND_US;
    budget->hundredths = most(budget);
}

void
retry_budget_call(struct retry_budget *budget, int64_t now_us)
{
    go_to(budget, now_us);
    budget->calls[budget->second % RETRY_BUDGET_SECONDS]++;
    budget->hundredths += RETRY_BUDGET_PERCENT;
}

bool
retry_budget_take(struct retry_budget *budget, int64_t now_us)
{
    go_to(budget, now_us);
    if (budget->hundredths < TOKEN)
        return false;
    budget->hundredths -= TOKEN;
    return true;
}
