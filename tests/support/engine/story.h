/* story.h -- A saga told by a script, for tables of machines and what becomes of them. In a script
 * "B=?,NO" means: the first call of B may have happened, every later one is refused with NO.
 *
 *   ok     done                         NAME   refused, the stored answer, reason NAME
 *   ?      it may have happened         (NAME) refused by a service that does not know the id
 *   !      nothing happened, ask again  cancel (before the answer) a caller wishes it undone
 *   crash  the orchestrator restarts while the call is under way
 *   days   it may have happened, until the budget is spent; the word after it is for an operator's retry
 */
#ifndef TESTS_SUPPORT_ENGINE_STORY_H
#define TESTS_SUPPORT_ENGINE_STORY_H

#include "tests/support/engine/driver.h"

extern struct definition *machine;

struct story {
    const char *script;
    int asked[9]; /* by the method */
};

void story_answer(struct driver *driver, const struct call_due *call, struct answer *ret_answer);
void print_end(const struct instance *instance, char *text, size_t size);

/* What operators do, one after the other: r retries, c compensates, d, f, e settle as done, refused, ended;
 * upper case: they are told no. */
void decide(struct driver *driver, const char *what, const char *operators);

#endif
