#include "tests/support/engine/story.h"

#include <string.h>

struct definition *machine;

/* The n-th word (or the last) of what the script says of a method. */
static void
script_word(const char *script, const char *method, int n, char *word, size_t size)
{
    size_t bytes = strlen(method);

    snprintf(word, size, "ok");
    for (const char *at = script; *at != '\0'; at += *at == ' ') {
        size_t length = strcspn(at, " ");

        if (strncmp(at, method, bytes) == 0 && at[bytes] == '=') {
            const char *from = at + bytes + 1, *end = at + length;
            const char *comma;

            while (n-- > 0 && (comma = memchr(from, ',', (size_t)(end - from))) != NULL)
                from = comma + 1;
            comma = memchr(from, ',', (size_t)(end - from));
            snprintf(word, size, "%.*s", (int)((comma == NULL ? end : comma) - from), from);
        }
        at += length;
    }
}

static int *
story_count(struct story *story, const char *method)
{
    static const char *const names[] = { "A", "B", "P", "D", "F", "X", "undoA", "undoB" };
    size_t i = 0;

    while (i < 7 && strcmp(names[i], method) != 0)
        i++;
    return &story->asked[i];
}

static void
tell(struct driver *driver, enum engine_event_kind kind)
{
    struct engine_event event = { .kind = kind };

    driver_tell(driver, &event, machine);
}

void
story_answer(struct driver *driver, const struct call_due *call, struct answer *ret_answer)
{
    struct story *story = driver->script;
    int *count = story_count(story, call->method);
    char word[64];
    static char reason[64];

    script_word(story->script, call->method, *count, word, sizeof word);
    /* For longer than the long budget: then an operator's turn. */
    if (strcmp(word, "days") != 0 ||
        driver->now_us >= driver->instance->steps[driver->instance->current].budget_us)
        (*count)++;
    ret_answer->outcome = OUTCOME_OK;
    if (strcmp(word, "crash") == 0) {
        tell(driver, ENGINE_RECOVERED);
        ret_answer->activation = (struct uuid){ 0 }; /* its answer is lost */
    } else if (strcmp(word, "cancel") == 0) {
        bool is_late = instance_is_past_pivot(driver->instance);

        tell(driver, ENGINE_CANCEL);
        ck_assert_int_eq(driver->error, is_late ? ERR_TOO_LATE : ERR_OK);
    } else if (strcmp(word, "?") == 0 || strcmp(word, "days") == 0) {
        ret_answer->outcome = OUTCOME_UNKNOWN;
    } else if (strcmp(word, "!") == 0) {
        ret_answer->outcome = OUTCOME_NOT_DONE;
    } else if (strcmp(word, "ok") != 0) {
        snprintf(reason, sizeof reason, "%s", word[0] == '(' ? word + 1 : word);
        reason[strcspn(reason, ")")] = '\0';
        ret_answer->outcome = OUTCOME_REFUSED;
        ret_answer->reason = reason;
        ret_answer->is_stored = word[0] != '(';
    }
    if (ret_answer->outcome == OUTCOME_OK)
        ret_answer->result = json_pack("{s:i}", "value", 1);
}

void
print_end(const struct instance *instance, char *text, size_t size)
{
    snprintf(text, size, "%s %s/%s%s%s", phase_text(instance_phase(instance)),
             status_text(instance->status), status_text(instance->compensation),
             instance->error_code == NULL ? "" : " ",
             instance->error_code == NULL ? "" : instance->error_code);
}

void
decide(struct driver *driver, const char *what, const char *operators)
{
    static const char words[] = "rcdfe";
    static const struct engine_event events[] = {
        { .kind = ENGINE_RETRY, .comment = "why" },
        { .kind = ENGINE_COMPENSATE, .comment = "" },
        { .kind = ENGINE_SETTLE, .comment = "why", .settlement = SETTLED_DONE },
        { .kind = ENGINE_SETTLE, .comment = "why", .settlement = SETTLED_REFUSED },
        { .kind = ENGINE_SETTLE, .comment = "why", .settlement = SETTLED_ENDED },
    };

    for (const char *at = operators; at != NULL && *at != '\0'; at++) {
        bool is_refused = *at < 'a';
        const char *word = strchr(words, is_refused ? *at + 'a' - 'A' : *at);

        driver_tell(driver, &events[word - words], machine);
        ck_assert_msg((driver->error != ERR_OK) == is_refused, "%s: operator %c", what, *at);
        while (driver_step(driver))
            ;
    }
}
