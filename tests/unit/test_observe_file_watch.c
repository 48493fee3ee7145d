/* test_observe_file_watch.c -- When files are read again, and what becomes of those that are bad. */
#include "mesh/base/arena.h"
#include "mesh/base/current.h"
#include "mesh/base/log.h"
#include "mesh/observe/file_watch.h"
#include "mesh/observe/metrics.h"
#include "tests/support/check.h"
#include "tests/support/metrics_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAILURES "sagamesh_file_reload_failures_total{file=\"words\"}"

static char folder[64];
static struct metrics *metrics;
static struct file_watch *watch;

/* An owner whose file is a word; "ref NAME" is the word of another file. "bad" is refused. */
struct words {
    char path[128], text[64];
    int reads;
};
static struct words words;

static enum error
words_read(void *owner, struct file_reads *reads, struct problem *problem)
{
    struct words *own = owner;
    struct arena *arena = arena_new();
    const char *text = file_reads_text(reads, own->path, 60, arena);

    own->reads++;
    if (text != NULL && strncmp(text, "ref ", 4) == 0)
        text = file_reads_beside(reads, own->path, text + 4, 60, arena);
    if (text == NULL || strcmp(text, "bad") == 0)
        problem_set(problem, ERR_BAD_REQUEST, "word", "must be another");
    else
        snprintf(own->text, sizeof own->text, "%s", text);
    arena_free(arena);
    return problem->error;
}

static void
put(const char *name, const char *text)
{
    char path[128], new[160];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(new, sizeof new, "%s.new", path);
    file = fopen(new, "w");
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(rename(new, path), 0);
}

static void
point(const char *name, const char *at)
{
    char path[128], new[160];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(new, sizeof new, "%s.new", path);
    ck_assert_int_eq(symlink(at, new), 0);
    ck_assert_int_eq(rename(new, path), 0);
}

static enum error
add(const char *name)
{
    words = (struct words){ 0 };
    snprintf(words.path, sizeof words.path, "%s/%s", folder, name);
    return file_watch_add(
        watch, &(struct file_owner){
                   .name = "words", .path = words.path, .read = words_read, .owner = &words });
}

static void
begin(void)
{
    log_open("test", LOG_ERROR + 1);
    strcpy(folder, "/tmp/file-watch-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    metrics = metrics_new();
    watch = file_watch_new(metrics);
}

static void
end(void)
{
    char command[128];

    watch = file_watch_free(watch);
    metrics_free(metrics);
    snprintf(command, sizeof command, "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_change_is_taken_when_two_looks_see_the_same)
{
    put("word", "one");
    ck_assert_int_eq(add("word"), ERR_OK);
    ck_assert_str_eq(words.text, "one");
    ck_assert(metric_shown(metrics, "sagamesh_file_loaded_timestamp_seconds{file=\"words\"}") >
              1e9);
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_int_eq(words.reads, 1);
    put("word", "two");
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "one");
    put("word", "three"); /* it is still being changed */
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "one");
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "three");
    file_watch_look(watch, false);
    ck_assert_int_eq(words.reads, 2);
    file_watch_look(watch, true);
    ck_assert_int_eq(words.reads, 3);
    ck_assert(metric_shown(metrics, FAILURES) == 0);
}
END_TEST

START_TEST(a_bad_one_leaves_the_old_one)
{
    put("word", "one");
    ck_assert_int_eq(add("word"), ERR_OK);
    put("word", "bad");
    file_watch_look(watch, true);
    ck_assert_str_eq(words.text, "one");
    ck_assert(metric_shown(metrics, FAILURES) == 1);
    for (int i = 0; i < 5; i++)
        file_watch_look(watch, false);
    ck_assert_int_eq(words.reads, 2); /* the same bad one is tried once */
    put("word", "good");
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "good");
    ck_assert(metric_shown(metrics, FAILURES) == 1);
}
END_TEST

/* As Kubernetes mounts a Secret: word -> ..data/word, ..data -> a folder of a time. */
START_TEST(a_link_that_moves_is_a_change)
{
    char path[160];

    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof path, "%s/..%d", folder, i);
        ck_assert_int_eq(mkdir(path, 0700), 0);
    }
    put("..1/word", "same");
    put("..2/word", "else");
    point("..data", "..1");
    point("word", "..data/word");
    ck_assert_int_eq(add("word"), ERR_OK);
    ck_assert_str_eq(words.text, "same");
    point("..data", "..2");
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "else");
}
END_TEST

START_TEST(files_that_a_file_names_are_watched_too)
{
    put("word", "ref other");
    put("other", "one");
    ck_assert_int_eq(add("word"), ERR_OK);
    ck_assert_str_eq(words.text, "one");
    put("other", "two");
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "two");
    put("word", "ref missing"); /* bad, until the file is there */
    file_watch_look(watch, true);
    ck_assert_str_eq(words.text, "two");
    ck_assert(metric_shown(metrics, FAILURES) == 1);
    put("missing", "three");
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_str_eq(words.text, "three");
    put("other", "nobody reads it any more");
    file_watch_look(watch, false);
    file_watch_look(watch, false);
    ck_assert_int_eq(words.reads, 4);
}
END_TEST

START_TEST(one_that_is_bad_at_first_is_not_watched)
{
    put("word", "bad");
    ck_assert_int_eq(add("word"), ERR_BAD_REQUEST);
    put("word", "good");
    file_watch_look(watch, true);
    ck_assert_int_eq(words.reads, 1);
    ck_assert_int_eq(add("word"), ERR_OK);
    file_watch_remove(watch, &words);
    file_watch_look(watch, true);
    ck_assert_int_eq(words.reads, 1);
    file_watch_remove(watch, &words);
    file_watch_remove(NULL, &words);
}
END_TEST

/* ---- values that others look at (mesh/base/current.h) ---- */

static int freed;

static void
value_free(void *value)
{
    freed++;
    free(value);
}

static int *
value_new(int number)
{
    int *value = memory_take(sizeof *value);

    *value = number;
    return value;
}

START_TEST(a_value_lives_until_its_last_view_has_looked_again)
{
    struct current *current = current_new(value_free);
    struct current_view one = { 0 }, two = { 0 };

    freed = 0;
    ck_assert_ptr_null(current_look(current, &one));
    current_set(current, value_new(1));
    ck_assert_int_eq(*(int *)current_look(current, &one), 1);
    ck_assert_int_eq(*(int *)current_look(current, &two), 1);
    current_set(current, value_new(2));
    ck_assert_int_eq(freed, 0);
    ck_assert_int_eq(*(int *)current_look(current, &one), 2);
    ck_assert_int_eq(freed, 0);
    current_end(current, &two);
    ck_assert_int_eq(freed, 1);
    current_set(current, value_new(3)); /* one has 2 */
    current_set(current, value_new(4)); /* nobody has seen 3 */
    ck_assert_int_eq(freed, 2);
    current_end(current, &one);
    ck_assert_int_eq(freed, 3);
    current_end(current, &one);
    current_free(current);
    ck_assert_int_eq(freed, 4);
}
END_TEST

int
main(void)
{
    TCase *files = check_case("files"), *values = check_case("values");

    tcase_add_checked_fixture(files, begin, end);
    tcase_add_test(files, a_change_is_taken_when_two_looks_see_the_same);
    tcase_add_test(files, a_bad_one_leaves_the_old_one);
    tcase_add_test(files, a_link_that_moves_is_a_change);
    tcase_add_test(files, files_that_a_file_names_are_watched_too);
    tcase_add_test(files, one_that_is_bad_at_first_is_not_watched);
    tcase_add_test(values, a_value_lives_until_its_last_view_has_looked_again);
    return check_run("observe_file_watch", files, values);
}
