/* test_engine_time.c -- A saga's time may be far ahead of the world's: its journal was written while a clock was
 * wrong. Participants go by the world's, so ids and budgets do too; and what was damaged may say any time.
 */
#include "mesh/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/engine/driver.h"

#include <string.h>

static const char machine_text[] = "{'Name':'m','StartState':'A','States':{'A':{" TASK(
    "A") ",'IsForUpdate':true,'Next':'W'},"
         "'W':{'Type':'WaitForEvent','Event':'pay','Until':'[pay] != null','TimeoutSeconds':60,"
         "'Next':'E'},'E':{'Type':'Succeed'}}}";

static const int ahead_days[] = { 0, 6, 8, 44, 46, 60, 30000 };

static void
answer(struct driver *driver, const struct definition *definition, enum outcome outcome,
       int64_t ahead_us)
{
    struct engine_event event = { .kind = ENGINE_ANSWER, .ahead_us = ahead_us };

    event.answer.outcome = outcome;
    event.answer.activation = driver->instance->steps[0].activation;
    driver_tell(driver, &event, definition);
}

/* The saga's id is of the world's time; its shard is so many days ahead. */
START_TEST(ids_and_budgets_are_of_the_worlds_time)
{
    const int64_t world_us = INT64_C(1790000000000000), ahead_us = ahead_days[_i] * DAY_US;
    struct definition *definition = load(machine_text);
    struct driver driver = { 0 };
    struct engine_event start = {
        .kind = ENGINE_START, .definition = definition, .input = json_object(), .ahead_us = ahead_us
    };
    const struct step *step;

    driver_open(&driver);
    driver.now_us = world_us + ahead_us;
    driver_tell(&driver, &start, definition);
    step = &driver.instance->steps[0];
    ck_assert_int_le(llabs(uuid_time_us(step->activation) - world_us), SECOND_US);
    ck_assert_int_eq(step->budget_us, driver.now_us + 600 * SECOND_US);
    answer(&driver, definition, OUTCOME_NOT_DONE, ahead_us);
    step = &driver.instance->steps[0];
    ck_assert_int_eq(step->status, STATUS_RU); /* it is asked again */
    ck_assert_int_gt(step->next_us, driver.now_us);

    driver.now_us = step->budget_us;
    answer(&driver, definition, OUTCOME_UNKNOWN, ahead_us);
    ck_assert(driver.instance->is_stuck);
    driver_tell(&driver, &(struct engine_event){ .kind = ENGINE_RETRY, .ahead_us = ahead_us },
                definition);
    ck_assert_uint_eq(driver.instance->step_count, 1); /* under the same id */
    ck_assert_int_gt(driver.instance->steps[0].budget_us, driver.now_us);
    driver_close(&driver);
    json_decref(start.input);
    definition_free(definition);
}
END_TEST

static void
wait_for_news(struct driver *driver, const struct definition *definition)
{
    json_t *input = json_object();

    driver_open(driver);
    driver_start(driver, definition, input);
    answer(driver, definition, OUTCOME_OK, 0);
    ck_assert(instance_is_waiting(driver->instance));
    json_decref(input);
}

/* Its row with other text in it; NULL: it is refused. */
static struct instance *
row_with(const struct instance *instance, const char *member, json_t *value)
{
    struct json_writer writer = { 0 };
    struct instance *damaged = NULL;
    struct problem problem;
    json_t *json;
    char *text;

    instance_write(instance, &writer);
    json = json_loads(writer.text, 0, NULL);
    if (value == NULL)
        json_object_del(json, member);
    else
        json_object_set_new(json, member, value);
    text = json_dumps(json, 0);
    instance_read(text, strlen(text), driver_find, (void *)(uintptr_t)instance->definition,
                  &problem, &damaged);
    free(text);
    json_decref(json);
    json_writer_free(&writer);
    return damaged;
}

START_TEST(news_of_a_wait_whose_row_is_of_no_state)
{
    struct definition *definition = load(machine_text);
    struct driver driver = { 0 };
    struct engine_event news = { .kind = ENGINE_SIGNAL };
    json_t *payload = json_pack("{s:i}", "x", 1);

    wait_for_news(&driver, definition);
    for (int state = -1; state < (int)definition->state_count; state++) {
        struct instance *damaged =
            row_with(driver.instance, "state", state < 0 ? NULL : json_integer(state));

        ck_assert_ptr_nonnull(damaged);
        instance_free(driver.instance);
        instance_free(driver.copy);
        driver.instance = damaged;
        driver.copy = row_with(damaged, "state", state < 0 ? NULL : json_integer(state));
        news.signal.event = "pay";
        news.signal.version = 1;
        news.signal.payload = payload;
        driver_tell(&driver, &news, definition);
        ck_assert(driver.instance->is_ended);
        ck_assert_int_eq(driver.instance->status, STATUS_SU);
        driver_close(&driver);
        wait_for_news(&driver, definition);
    }
    driver_close(&driver);
    json_decref(payload);
    definition_free(definition);
}
END_TEST

/* What is read brings the whole shard's time to its own. */
START_TEST(a_time_that_is_too_far_ahead_is_refused)
{
    static const int64_t far_us[] = { INT64_MAX, INT64_C(1) << 53, (INT64_C(1) << 53) - 1,
                                      (INT64_C(1) << 52) + 1 };
    struct definition *definition = load(machine_text);
    struct driver driver = { 0 };
    struct records records = { 0 };
    struct json_writer writer = { 0 };
    struct problem problem;

    wait_for_news(&driver, definition);
    for (size_t i = 0; i < sizeof far_us / sizeof *far_us; i++) {
        struct record *record =
            records_add(&records, RECORD_CANCEL, driver.instance->id, far_us[i]);

        json_writer_reset(&writer);
        record_write(record, &writer);
        records_reset(&records);
        ck_assert_int_ne(
            record_read(&records, writer.text, writer.bytes, driver_find, definition, &problem),
            ERR_OK);
        ck_assert_ptr_null(row_with(driver.instance, "changed", json_integer(far_us[i])));
        ck_assert_ptr_null(row_with(driver.instance, "started", json_integer(far_us[i])));
    }
    records_free(&records);
    json_writer_free(&writer);
    driver_close(&driver);
    definition_free(definition);
}
END_TEST

int
main(void)
{
    TCase *tcase = check_case("time");

    tcase_add_loop_test(tcase, ids_and_budgets_are_of_the_worlds_time, 0, ROWS(ahead_days));
    tcase_add_test(tcase, news_of_a_wait_whose_row_is_of_no_state);
    tcase_add_test(tcase, a_time_that_is_too_far_ahead_is_refused);
    return check_run("engine_time", tcase);
}
