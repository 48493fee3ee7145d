/* provider_fault.c -- The table of faults, their texts and the seeded choice. */
#include "sandbox/provider/provider_fault.h"
#include "mesh/base/hash.h"
#include "mesh/base/uuid.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault_row {
    const char *name;
    int64_t value_ms, times;
    bool is_chosen; /* by the seed */
    const char *what;
};

/* clang-format off */
static const struct fault_row rows[FAULT_COUNT] = {
    /*                             name                 ms     times chosen  what happens */
    [FAULT_LOST]               = { "lost",               0,     -1,   true,   "no webhook is sent" },
    [FAULT_DOUBLED]            = { "doubled",            0,     -1,   true,   "each webhook is sent twice, under one id" },
    [FAULT_LATE]               = { "late",               2000,  -1,   true,   "webhooks leave ms later" },
    [FAULT_REORDERED]          = { "reordered",          300,   -1,   true,   "PENDING's webhook leaves ms after SUCCEEDED's" },
    [FAULT_WRONG_SIGNATURE]    = { "wrong-signature",    200,   -1,   true,   "a badly signed webhook, the right one ms later" },
    [FAULT_WRONG_AMOUNT]       = { "wrong-amount",       0,     -1,   true,   "webhooks say another amount, the books do not" },
    [FAULT_WRONG_AMOUNT_BOOKS] = { "wrong-amount-books", 0,     -1,   false,  "another amount is taken, everywhere" },
    [FAULT_ERROR_500]          = { "error-500",          0,      2,   true,   "API calls are answered 500, nothing is done" },
    [FAULT_SLOW]               = { "slow",               1500,  -1,   true,   "API calls are answered ms later" },
    [FAULT_TIMEOUT_AFTER]      = { "timeout-after",      5000,   1,   true,   "an API call is done, and its answer lost" },
    [FAULT_PAYS_LATE]          = { "pays-late",          1000,   1,   true,   "succeeds ms after expiry or cancel" },
    [FAULT_DECLINES]           = { "declines",           0,     -1,   true,   "paying fails" },
    [FAULT_REFUSES]            = { "refuses",            0,     -1,   false,  "a payment is not made: 400" },
    [FAULT_CANCEL_500]         = { "cancel-500",         0,      2,   true,   "cancels are answered 500, nothing is done" },
    [FAULT_REFUND_500]         = { "refund-500",         0,      2,   true,   "refunds are answered 500, nothing is done" },
};
/* clang-format on */

/* A number up to max at *text, which moves behind it. False: none. */
static bool
number_read(const char **text, int64_t max, int64_t *ret_number)
{
    char *end;
    long long number = strtoll(*text, &end, 10);

    if (end == *text || number < -1 || number > max)
        return false;
    *text = end;
    *ret_number = number;
    return true;
}

bool
faults_add(struct faults *faults, const char *text, int64_t times)
{
    size_t name_bytes = strcspn(text, ":*");

    for (size_t i = 0; i < FAULT_COUNT; i++) {
        struct fault_setting setting = { rows[i].value_ms, rows[i].times };
        const char *rest = text + name_bytes;

        if (strlen(rows[i].name) != name_bytes || memcmp(rows[i].name, text, name_bytes) != 0)
            continue;
        if (*rest == ':' &&
            (rest++, !number_read(&rest, FAULT_MS_MAX, &setting.value_ms) || setting.value_ms < 0))
            return false;
        if (*rest == '*' && (rest++, !number_read(&rest, FAULT_TIMES_MAX, &setting.uses_left)))
            return false;
        if (*rest != '\0')
            return false;
        if (times >= 0)
            setting.uses_left = times;
        faults->of[i] = setting;
        return true;
    }
    return false;
}

const char *
fault_name(enum fault fault)
{
    assert(fault < FAULT_COUNT);
    return rows[fault].name;
}

char *
fault_print(enum fault fault, const struct fault_setting *setting, char text[FAULT_TEXT_BYTES])
{
    assert(fault < FAULT_COUNT);
    snprintf(text, FAULT_TEXT_BYTES, "%s:%" PRId64 "*%" PRId64, rows[fault].name, setting->value_ms,
             setting->uses_left);
    return text;
}

void
faults_choose(struct faults *faults, int64_t seed, int64_t percent, const char *payment_id)
{
    uint64_t hash = hash_end(hash_text(hash_int(HASH_SEED, seed), payment_id));
    size_t candidates = 0, wanted;

    if ((int64_t)(hash % 100) >= percent)
        return;
    for (size_t i = 0; i < FAULT_COUNT; i++)
        candidates += rows[i].is_chosen ? 1 : 0;
    wanted = (size_t)(hash / 100 % candidates);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (rows[i].is_chosen && wanted-- == 0) {
            faults_add(faults, rows[i].name, -1);
            return;
        }
    }
}

bool
fault_is_on(const struct faults *faults, enum fault fault)
{
    return faults->of[fault].uses_left != 0;
}

bool
fault_use(struct faults *faults, enum fault fault)
{
    struct fault_setting *setting = &faults->of[fault];

    if (setting->uses_left == 0)
        return false;
    if (setting->uses_left > 0)
        setting->uses_left--;
    return true;
}
