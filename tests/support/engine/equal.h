/* equal.h -- Are two sagas the same in everything that folding makes? */
#ifndef TESTS_SUPPORT_ENGINE_EQUAL_H
#define TESTS_SUPPORT_ENGINE_EQUAL_H

#include "saga/engine/instance.h"

bool instance_equal(const struct instance *a, const struct instance *b);

#endif
