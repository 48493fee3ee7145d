#include "sagactl/ctl_filter.h"

#include <string.h>

bool
ctl_filter_is_set(const struct ctl *ctl)
{
    return ctl->state[0] != '\0' || ctl->reason[0] != '\0';
}

static bool
takes(const char *wanted, const char *text)
{
    return wanted[0] == '\0' || strcmp(wanted, text) == 0;
}

bool
ctl_filter_takes(const struct ctl *ctl, const Sagamesh__Saga__V1__Saga *saga)
{
    return takes(ctl->state, saga->state) && takes(ctl->reason, saga->error_code);
}
