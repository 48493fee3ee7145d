/* shipped.h -- Reads a definition that the project ships. */
#ifndef TESTS_SUPPORT_ENGINE_SHIPPED_H
#define TESTS_SUPPORT_ENGINE_SHIPPED_H

#include "saga/engine/definition.h"
#include "tests/support/check.h"

/* Ends the program, with the reason, when it does not load. */
struct definition *shipped_definition(const char *name);

#endif
