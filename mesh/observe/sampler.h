/* sampler.h -- Which traces are recorded (OTEL_TRACES_SAMPLER of the OpenTelemetry specification).
 *
 * A sampler is asked where a trace begins; one that is based on the parent goes by the caller's flag
 * everywhere else, the others decide anew in every program, which is the same answer for the same trace
 * id and ratio.
 *
 * Thread    Plain data.
 */
#ifndef MESH_OBSERVE_SAMPLER_H
#define MESH_OBSERVE_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#define SAMPLER_ALL (UINT64_C(1) << 63)

struct sampler {
    bool is_parent_based;
    bool has_ratio;
    uint64_t below; /* of SAMPLER_ALL: a trace is recorded when half its draw is less */
};

/* "parentbased_traceidratio"; false: there is none of this name. Those with a ratio record all until
 * sampler_set_ratio(). */
bool sampler_find(const char *name, struct sampler *ret_sampler);

/* "0.01"; false, and nothing is set, when it is no number from 0 to 1. */
bool sampler_set_ratio(struct sampler *sampler, const char *text);

/* draw: 64 random bits, of the trace id where it can be trusted to be random. */
bool sampler_takes(const struct sampler *sampler, uint64_t draw);

#endif
