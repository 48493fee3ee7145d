/* definition_check.h -- What must hold of a machine as a whole; definition_read() calls it.
 *
 * Errors: a CompensateState that cannot undo, two pivots, states from which no end is reached.
 * Warnings: states that nothing leads to, updates that nothing undoes, a Choice without Default, a
 * hold that may expire before the pivot.
 */
#ifndef SAGA_ENGINE_DEFINITION_CHECK_H
#define SAGA_ENGINE_DEFINITION_CHECK_H

#include "saga/engine/definition.h"

/* Marks updates and compensation states, and finds the trigger. */
void definition_mark(struct definition *definition);

/* Of a definition that is marked. Also adds the warnings. */
enum error definition_check(struct definition *definition, const json_t *json,
                            struct problem *problem);

#endif
