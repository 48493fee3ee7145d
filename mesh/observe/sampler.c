/* A ratio is a whole number of 2^63, so that the same ratio is the same number in every program. */
#include "mesh/observe/sampler.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct {
    const char *name;
    struct sampler sampler;
} samplers[] = {
    { "always_on",                { false, false, SAMPLER_ALL } },
    { "always_off",               { false, false, 0           } },
    { "traceidratio",             { false, true,  SAMPLER_ALL } },
    { "parentbased_always_on",    { true,  false, SAMPLER_ALL } },
    { "parentbased_always_off",   { true,  false, 0           } },
    { "parentbased_traceidratio", { true,  true,  SAMPLER_ALL } },
};
/* clang-format on */

bool
sampler_find(const char *name, struct sampler *ret_sampler)
{
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++) {
        if (strcmp(samplers[i].name, name) == 0) {
            *ret_sampler = samplers[i].sampler;
            return true;
        }
    }
    return false;
}

bool
sampler_set_ratio(struct sampler *sampler, const char *text)
{
    char *end;
    double ratio;

    if (text[0] == '\0' || strspn(text, "0123456789.eE+-") != strlen(text)) /* no "nan", no " 1" */
        return false;
    ratio = strtod(text, &end);
    if (*end != '\0' || !(ratio >= 0 && ratio <= 1))
        return false;
    sampler->below = (uint64_t)(ratio * (double)SAMPLER_ALL);
    return true;
}

bool
sampler_takes(const struct sampler *sampler, uint64_t draw)
{
    return draw >> 1 < sampler->below;
}
