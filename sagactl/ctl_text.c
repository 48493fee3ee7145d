#include "sagactl/ctl_text.h"
#include "mesh/base/clock.h"
#include "mesh/base/terminal.h"
#include "mesh/base/time.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char *const phases[] = {
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_UNSPECIFIED]  = "unknown",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_RUNNING]      = "running",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_RETRYING]     = "retrying",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_COMPENSATING] = "compensating",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_STUCK]        = "stuck",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_ENDED]        = "ended",
    [SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_WAITING]      = "waiting",
};
/* clang-format on */
enum { PHASE_COUNT = sizeof phases / sizeof *phases };

const char *
ctl_phase_text(Sagamesh__Saga__V1__SagaPhase phase)
{
    return (unsigned)phase < PHASE_COUNT ? phases[phase] : phases[0];
}

bool
ctl_phase_find(const char *text, Sagamesh__Saga__V1__SagaPhase *ret_phase)
{
    for (size_t i = 1; i < PHASE_COUNT; i++) {
        if (strcmp(text, phases[i]) == 0) {
            *ret_phase = (Sagamesh__Saga__V1__SagaPhase)i;
            return true;
        }
    }
    return false;
}

const char *
ctl_age_text(int64_t age_us, struct arena *arena)
{
    int64_t seconds = age_us / SECOND_US;

    if (seconds < 120)
        return arena_print(arena, "%lld s", (long long)(seconds < 0 ? 0 : seconds));
    if (seconds < 2 * 60 * 60)
        return arena_print(arena, "%lld min", (long long)seconds / 60);
    if (seconds < 2 * 86400)
        return arena_print(arena, "%lld h", (long long)seconds / 3600);
    return arena_print(arena, "%lld days", (long long)seconds / 86400);
}

const char *
ctl_time_text(int64_t time_us, struct arena *arena)
{
    char text[TIME_TEXT_BYTES + 1];

    time_print(time_us, text);
    return arena_print(arena, "%.10s %.12s UTC", text, text + 11);
}

const char *
ctl_clean_text(const char *text, struct arena *arena)
{
    char *copy = arena_copy(arena, text, strlen(text));

    terminal_clean(copy);
    return copy[0] == '\0' ? "-" : copy;
}

const char *
ctl_call_text(const char *call, struct arena *arena)
{
    const char *slash = strchr(call, '/'), *at = slash;

    while (at != NULL && at > call && at[-1] != '.')
        at--;
    return ctl_clean_text(at == NULL ? call : at, arena);
}
