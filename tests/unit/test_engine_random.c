/* test_engine_random.c -- Any machine, any answers, a crash at any point: the engine never aborts, under
 * one id there is one request, and what was written gives the same saga again.
 *
 *     test_engine_random [--seed N] [--seeds N]
 *
 * Then the same with pages and rows that were damaged: what is not refused can be gone on with.
 */
#include "mesh/base/clock.h"
#include "mesh/base/hash.h"
#include "tests/support/check.h"
#include "tests/support/engine/equal.h"
#include "tests/support/engine/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 1500, EVENTS = 60, LINES_MAX = 2048, REQUESTS_MAX = 256, DAMAGES = 12 };

static const int64_t start_us = INT64_C(1790000000000000);

static uint64_t first_seed;
static int seed_count = SEEDS;
static const struct definition *definition_here;

struct life {
    uint64_t seed;
    struct dice dice;
    struct definition *definition;
    struct instance *instance;
    struct instance *copy; /* folded from the records' text only */
    struct records records;
    struct json_writer writer;
    char *lines[LINES_MAX];
    int line_count;
    struct uuid asked[REQUESTS_MAX];
    char *requests[REQUESTS_MAX];
    int request_count;
    int64_t now_us;
};

static const struct definition *
find(void *context, const char *name, const char *hash)
{
    (void)context;
    (void)name;
    (void)hash;
    return definition_here;
}

/* A machine that loads; some seeds need several tries. */
static struct definition *
make_definition(struct dice *dice)
{
    static const struct definition_options options = { 0 };
    struct definition *definition = NULL;
    struct problem problem;

    while (definition == NULL) {
        char *text = random_machine(dice);

        definition_read(text, strlen(text), &options, &problem, &definition);
        free(text);
    }
    return definition;
}

static void
life_open(struct life *life, uint64_t seed)
{
    memset(life, 0, sizeof *life);
    life->seed = seed;
    life->dice.state = hash_end(seed + 1);
    life->definition = make_definition(&life->dice);
    definition_here = life->definition;
    life->instance = instance_new(uuid_v8(start_us, &seed, sizeof seed));
    life->copy = instance_new(life->instance->id);
    life->now_us = start_us;
}

static void
life_close(struct life *life)
{
    for (int i = 0; i < life->line_count; i++)
        free(life->lines[i]);
    for (int i = 0; i < life->request_count; i++)
        free(life->requests[i]);
    instance_free(life->instance);
    instance_free(life->copy);
    records_free(&life->records);
    json_writer_free(&life->writer);
    definition_free(life->definition);
}

/* NULL, or why not all could be folded. */
static const char *
fold_lines(char *const *lines, int count, struct instance *instance)
{
    const char *because = NULL;

    for (int i = 0; i < count && because == NULL; i++) {
        struct records records = { 0 };
        struct problem problem;

        if (record_read(&records, lines[i], strlen(lines[i]), find, NULL, &problem) != ERR_OK)
            because = "a line cannot be read";
        else
            because = instance_refuses(instance, &records.items[0]);
        if (because == NULL)
            instance_fold(instance, &records.items[0]);
        records_free(&records);
    }
    return because;
}

static struct instance *
from_row(struct life *life, const struct instance *instance)
{
    struct instance *copy = NULL;
    struct problem problem;

    json_writer_reset(&life->writer);
    instance_write(instance, &life->writer);
    ck_assert_msg(
        instance_read(life->writer.text, life->writer.bytes, find, NULL, &problem, &copy) == ERR_OK,
        "seed %llu: %s %s", (unsigned long long)life->seed, problem.field, problem.text);
    return copy;
}

/* The same call as before, also from a copy of the instance. */
static void
check_request(struct life *life, const struct instance *instance)
{
    struct due due;
    char *request;
    int i = 0;

    engine_due(instance, life->now_us, &due);
    if (due.call_count == 0)
        return;
    request = json_dumps(due.calls[0].request, JSON_COMPACT);
    while (i < life->request_count && !uuid_equal(life->asked[i], due.calls[0].activation))
        i++;
    if (i < life->request_count) {
        ck_assert_msg(strcmp(request, life->requests[i]) == 0, "seed %llu: asks %s, after %s",
                      (unsigned long long)life->seed, request, life->requests[i]);
        free(request);
    } else {
        ck_assert_int_lt(i, REQUESTS_MAX);
        life->asked[i] = due.calls[0].activation;
        life->requests[life->request_count++] = request;
    }
    due_free(&due);
}

/* A saga that ends UN/SU says that all was undone, and one that ends UN says no less. */
static void
check_end(const struct life *life)
{
    const struct instance *instance = life->instance;

    if (!instance->is_ended || instance->status != STATUS_UN)
        return;
    if (instance->error_code != NULL &&
        strcmp(instance->error_code, "sagamesh.Operator") == 0) /* as a person wanted it */
        return;
    ck_assert_msg(instance->compensation == STATUS_SU, "seed %llu: ends UN without an undo",
                  (unsigned long long)life->seed);
    for (size_t i = 0; i < instance->step_count; i++) {
        const struct step *step = &instance->steps[i];

        ck_assert_msg(step->undoes >= 0 || step->is_retried || step->status == STATUS_FA ||
                          step->compensation == STATUS_SU ||
                          life->definition->states[step->state].compensate_state == STATE_NONE,
                      "seed %llu: ends UN/SU, and step %zu is not undone",
                      (unsigned long long)life->seed, i);
    }
}

/* What was decided, written, and what is made of the writing. */
static void
life_check(struct life *life)
{
    int first = life->line_count;
    struct instance *row;
    const char *because;

    for (size_t i = 0; i < life->records.count; i++) {
        ck_assert_int_lt(life->line_count, LINES_MAX);
        json_writer_reset(&life->writer);
        record_write(&life->records.items[i], &life->writer);
        life->lines[life->line_count++] = strdup(life->writer.text);
    }
    because = fold_lines(life->lines + first, life->line_count - first, life->copy);
    ck_assert_msg(because == NULL, "seed %llu: %s", (unsigned long long)life->seed, because);
    because = instance_limbo(life->instance);
    ck_assert_msg(because == NULL, "seed %llu: %s", (unsigned long long)life->seed, because);
    check_request(life, life->instance);
    check_end(life);
    if (draw(&life->dice, 4) != 0)
        return;
    ck_assert_msg(instance_equal(life->instance, life->copy),
                  "seed %llu: the records give another instance", (unsigned long long)life->seed);
    row = from_row(life, life->copy);
    ck_assert(instance_equal(row, life->copy));
    check_request(life, row);
    instance_free(life->instance); /* a crash: what was in memory is lost */
    life->instance = row;
}

static void
life_tell(struct life *life, const struct engine_event *event)
{
    struct problem problem;

    records_reset(&life->records);
    if (engine_decide(life->instance, event, life->now_us, &life->records, &problem) != ERR_OK)
        ck_assert_uint_eq(life->records.count, 0);
    life_check(life);
}

static void
life_begin(struct life *life)
{
    json_t *input = json_pack("{s:i, s:s}", "a", draw(&life->dice, 3), "b", "text");
    struct engine_event event = { .kind = ENGINE_START,
                                  .definition = life->definition,
                                  .input = input };

    life_tell(life, &event);
    json_decref(input);
}

static void
pass_time(struct life *life)
{
    struct due due;

    engine_due(life->instance, life->now_us, &due);
    if (due.look_again_us > life->now_us)
        life->now_us = due.look_again_us;
    else
        life->now_us += draw(&life->dice, 4) ? 1000 : 40 * SECOND_US;
    due_free(&due);
}

static void
life_go_on(struct life *life, int events)
{
    for (int i = 0; i < events && !life->instance->is_ended; i++) {
        struct random_event event;

        pass_time(life);
        random_event(&life->dice, life->instance, &event);
        life_tell(life, &event.event);
        json_decref(event.json);
    }
}

START_TEST(any_machine_with_any_answers)
{
    static struct life life;
    int ended = 0, stuck = 0, undone = 0, events = 0;

    for (int i = 0; i < seed_count; i++) {
        life_open(&life, first_seed + (uint64_t)i);
        life_begin(&life);
        life_go_on(&life, EVENTS);
        ended += life.instance->is_ended;
        stuck += life.instance->is_stuck;
        undone += life.instance->compensation == STATUS_SU;
        events += life.line_count;
        life_close(&life);
    }
    printf("%d machines: %d sagas ended, %d are stuck, %d were undone; %d records\n", seed_count,
           ended, stuck, undone, events);
    if (seed_count > 1) /* else it never tested what it is for */
        ck_assert(ended > 0 && stuck > 0 && undone > 0);
}
END_TEST

/* ---- damage ---- */

/* Another byte, some bytes less, a number, or another line in its place. */
static void
damage_text(struct dice *dice, char *text)
{
    static const char other[] = "0123456789-\"{}[],:nulltruesuRUFAUN";
    size_t bytes = strlen(text), at = bytes == 0 ? 0 : (size_t)draw(dice, (int)bytes);

    for (int i = 1 + draw(dice, 3); i > 0 && bytes > 0; i--) {
        size_t cut = (size_t)draw(dice, 12);

        switch (draw(dice, 3)) {
        case 0:
            text[at] = other[draw(dice, (int)sizeof other - 1)];
            break;
        case 1:
            cut = at + cut > bytes ? bytes - at : cut;
            memmove(text + at, text + at + cut, bytes - at - cut + 1);
            bytes -= cut;
            break;
        default:
            while (text[at] != '\0' && strchr("0123456789", text[at]) == NULL)
                at++;
            if (text[at] != '\0')
                text[at] = (char)('0' + draw(dice, 10));
        }
        at = bytes == 0 ? 0 : (size_t)draw(dice, (int)bytes);
    }
}

/* A member of some object gets another value, or is gone: still JSON, and no longer what was written. */
static char *
damage_member(struct dice *dice, const char *text)
{
    static const char *const values[] = {
        "null", "-1",   "0",      "7",      "99999", "9223372036854775807", "\"x\"", "[]",
        "{}",   "true", "\"RU\"", "\"SU\"", "2.5"
    };
    json_t *root = json_loads(text, 0, NULL), *at = root;
    char *other;

    for (int hops = draw(dice, 4); hops >= 0 && at != NULL; hops--) {
        json_t *inner = NULL;
        int index = 0, wanted;

        if (json_is_array(at)) {
            at = json_array_size(at) == 0
                     ? NULL
                     : json_array_get(at, (size_t)draw(dice, (int)json_array_size(at)));
            continue;
        }
        if (!json_is_object(at) || json_object_size(at) == 0)
            break;
        wanted = draw(dice, (int)json_object_size(at));
        for (void *i = json_object_iter(at); i != NULL; i = json_object_iter_next(at, i)) {
            if (index++ != wanted)
                continue;
            inner = json_object_iter_value(i);
            if (hops == 0 || (!json_is_object(inner) && !json_is_array(inner))) {
                json_t *value = json_loads(DRAW_OF(dice, values), JSON_DECODE_ANY, NULL);

                if (draw(dice, 4) == 0)
                    json_object_del(at, json_object_iter_key(i));
                else
                    json_object_iter_set(at, i, value);
                json_decref(value);
                inner = NULL;
            }
            break;
        }
        at = inner;
    }
    other = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    return other;
}

static char *
damaged(struct dice *dice, const char *text)
{
    char *copy;

    if (draw(dice, 2) == 0)
        return damage_member(dice, text);
    copy = strdup(text);
    damage_text(dice, copy);
    return copy;
}

/* Every definition that was accepted can be lived with: told anything, shown, written. */
static void
live_with(struct life *life, struct instance *instance)
{
    for (int i = 0; i < 12; i++) {
        struct random_event event;
        struct problem problem;
        struct due due;

        records_reset(&life->records);
        random_event(&life->dice, instance, &event);
        if (i == 0)
            event.event.kind = ENGINE_RECOVERED;
        engine_decide(instance, &event.event, life->now_us, &life->records, &problem);
        json_decref(event.json);
        engine_due(instance, life->now_us + i * SECOND_US, &due);
        due_free(&due);
        json_writer_reset(&life->writer);
        instance_history(instance, &life->writer);
        json_writer_reset(&life->writer);
        instance_write(instance, &life->writer);
    }
}

static bool
damage_row(struct life *life)
{
    struct instance *instance = NULL;
    struct problem problem;
    char *text;

    json_writer_reset(&life->writer);
    instance_write(life->instance, &life->writer);
    text = damaged(&life->dice, life->writer.text);
    if (instance_read(text, strlen(text), find, NULL, &problem, &instance) == ERR_OK &&
        instance_limbo(instance) == NULL)
        live_with(life, instance);
    free(text);
    instance_free(instance);
    return instance != NULL;
}

/* One line of the saga's is another, gone, or there twice. */
static bool
damage_lines(struct life *life)
{
    int at = draw(&life->dice, life->line_count), count = life->line_count;
    struct instance *instance = instance_new(life->instance->id);
    char **lines = calloc((size_t)count + 1, sizeof *lines), *own = NULL;
    bool is_taken;

    memcpy(lines, life->lines, (size_t)count * sizeof *lines);
    switch (draw(&life->dice, 4)) {
    case 0:
        memmove(lines + at, lines + at + 1, (size_t)(count - at - 1) * sizeof *lines);
        count--;
        break;
    case 1:
        memmove(lines + at + 1, lines + at, (size_t)(count - at) * sizeof *lines);
        count++;
        break;
    default:
        lines[at] = own = damaged(&life->dice, lines[at]);
    }
    is_taken = fold_lines(lines, count, instance) == NULL && instance->definition != NULL &&
               instance_limbo(instance) == NULL;
    if (is_taken && !instance->is_ended)
        live_with(life, instance);
    instance_free(instance);
    free(lines);
    free(own);
    return is_taken;
}

START_TEST(damaged_rows_and_pages_do_no_harm)
{
    static struct life life;
    int taken = 0, refused = 0;

    for (int i = 0; i < seed_count; i++) {
        life_open(&life, first_seed + (uint64_t)i);
        life_begin(&life);
        life_go_on(&life, 1 + draw(&life.dice, 12));
        for (int n = 0; n < DAMAGES && !life.instance->is_ended; n++) {
            bool is_taken = n % 2 ? damage_row(&life) : damage_lines(&life);

            taken += is_taken;
            refused += !is_taken;
        }
        life_close(&life);
    }
    printf("%d rows and lines damaged: %d refused, %d taken\n", taken + refused, refused, taken);
    if (seed_count > 1)
        ck_assert(taken > 0 && refused > 0);
}
END_TEST

int
main(int argc, char **argv)
{
    TCase *tcase = check_case("random");

    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0) {
            first_seed = strtoull(argv[i + 1], NULL, 10);
            seed_count = 1;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            seed_count = atoi(argv[i + 1]);
        }
    }
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, any_machine_with_any_answers);
    tcase_add_test(tcase, damaged_rows_and_pages_do_no_harm);
    return check_run("engine_random", tcase);
}
