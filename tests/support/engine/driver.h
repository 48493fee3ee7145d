/* driver.h -- Drives one instance to its rest: asks a function for every answer, and moves the
 * clock when something is due later. Every record goes through its text before it is believed.
 */
#ifndef TESTS_SUPPORT_ENGINE_DRIVER_H
#define TESTS_SUPPORT_ENGINE_DRIVER_H

#include "saga/engine/engine.h"
#include "tests/support/check.h"

/* Machines are JSON with ' for ", in literals of C. */
#define TASK(name) "'Type':'ServiceTask','ServiceName':'s','ServiceMethod':'" name "'"
#define MACHINE(states) "{'Name':'m','StartState':'A','States':{" states "}}"

/* '...' is a JSON text; "..." inside one is an expression's literal. Ends the program, with the reason,
 * when it does not load. */
struct definition *load(const char *quoted);

struct driver {
    struct instance *instance;
    struct instance *copy; /* folded from the records' text only */
    struct records records;
    int64_t now_us;
    int calls;
    enum error error; /* of the last event */
    struct problem problem;
    void *script;
    /* Fills in outcome and what goes with it; the result is a new reference. */
    void (*answer)(struct driver *driver, const struct call_due *call, struct answer *ret_answer);
};

const struct definition *driver_find(void *context, const char *name, const char *hash);
void driver_tell(struct driver *driver, const struct engine_event *event,
                 const struct definition *definition);

/* One call or one wait; false when only an event can move it. */
bool driver_step(struct driver *driver);

void driver_open(struct driver *driver);
void driver_close(struct driver *driver);
void driver_start(struct driver *driver, const struct definition *definition, json_t *input);

/* The steps as Seata's recorded outcomes write them: Name:status[/compensation], +u for an update, +c
 * for a compensation, +ign for one that another took the place of. */
void driver_trace(const struct instance *instance, char *text, size_t size);

#endif
