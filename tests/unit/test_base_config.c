/* Flags, the environment and defaults; a bad flag ends the program with 2. */
#include "mesh/base/config.h"
#include "tests/support/check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct settings {
    const char *listen, *database;
    int64_t size;
    bool debug;
    int64_t must;
};

/* clang-format off */
static const struct config_key keys[] = {
    { "listen",   CONFIG_TEXT, "127.0.0.1:0", 0, 0,   "address", offsetof(struct settings, listen) },
    { "database", CONFIG_TEXT, NULL,          0, 0,   "conninfo", offsetof(struct settings, database) },
    { "size-max", CONFIG_INT,  "10",          1, 100, "things", offsetof(struct settings, size) },
    { "debug",    CONFIG_FLAG, NULL,          0, 0,   "log more", offsetof(struct settings, debug) },
    { "must",     CONFIG_INT,  NULL,          -5, 5,  "has no default", offsetof(struct settings, must) },
    { 0 },
};

#define LISTEN "127.0.0.1:0"
static const struct {
    const char *what;
    const char *arguments[6];
    const char *environment; /* of MESH_SIZE_MAX; NULL: unset */
    int status;              /* 0: it is read */
    struct settings is;
    int words;
} cases[] = {
    { "defaults",                { "--database=d", "--must=0" },                  NULL,   0, { LISTEN, "d", 10, false, 0 }, 0 },
    { "values apart",            { "--database", "d", "--must", "-5", "--debug" }, NULL,  0, { LISTEN, "d", 10, true, -5 }, 0 },
    { "the environment",         { "--database=d", "--must=0" },                  "77",   0, { LISTEN, "d", 77, false, 0 }, 0 },
    { "a flag before it",        { "--database=d", "--must=0", "--size-max=5" },  "77",   0, { LISTEN, "d", 5, false, 0 }, 0 },
    { "an empty text",           { "--database=", "--must=0" },                   NULL,   0, { LISTEN, "", 10, false, 0 }, 0 },
    { "a value with =",          { "--database=a=b", "--must=0" },                NULL,   0, { LISTEN, "a=b", 10, false, 0 }, 0 },
    { "a flag switched off",     { "--database=d", "--must=0", "--debug=false" }, NULL,   0, { LISTEN, "d", 10, false, 0 }, 0 },
    { "words between",           { "list", "--database=d", "x", "--must=0" },     NULL,   0, { LISTEN, "d", 10, false, 0 }, 2 },
    { "a text is missing",       { "--must=0" },                                  NULL,   2, { 0 }, 0 },
    { "a number is missing",     { "--database=d" },                              NULL,   2, { 0 }, 0 },
    { "no value",                { "--must=0", "--database" },                    NULL,   2, { 0 }, 0 },
    { "unknown flag",            { "--database=d", "--must=0", "--size" },        NULL,   2, { 0 }, 0 },
    { "one below the least",     { "--database=d", "--must=0", "--size-max=0" },  NULL,   2, { 0 }, 0 },
    { "one above the most",      { "--database=d", "--must=0", "--size-max=101" }, NULL,  2, { 0 }, 0 },
    { "a number and more",       { "--database=d", "--must=0", "--size-max=5k" }, NULL,   2, { 0 }, 0 },
    { "no number",               { "--database=d", "--must=0", "--size-max=" },   NULL,   2, { 0 }, 0 },
    { "a number out of 64 bits", { "--database=d", "--must=0", "--size-max=99999999999999999999" }, NULL, 2, { 0 }, 0 },
    { "a bad environment",       { "--database=d", "--must=0" },                  "many", 2, { 0 }, 0 },
    { "a flag that is maybe",    { "--database=d", "--must=0", "--debug=maybe" }, NULL,   2, { 0 }, 0 },
};
/* clang-format on */

static int
read_case(int i, struct settings *settings)
{
    const struct config_table table = { keys, settings };
    char *argv[8] = { (char *)"program" };
    int argc = 1;

    while (argc <= 6 && cases[i].arguments[argc - 1] != NULL) {
        argv[argc] = (char *)cases[i].arguments[argc - 1];
        argc++;
    }
    if (cases[i].environment != NULL)
        setenv("MESH_SIZE_MAX", cases[i].environment, 1);
    else
        unsetenv("MESH_SIZE_MAX");
    return config_read(argc, argv, "usage", &table, 1);
}

START_TEST(flags_are_read_or_refused)
{
    struct settings settings = { 0 };
    int status = 0;
    pid_t child;

    if (cases[_i].status == 0) {
        ck_assert_int_eq(read_case(_i, &settings), cases[_i].words);
        ck_assert_str_eq(settings.listen, cases[_i].is.listen);
        ck_assert_str_eq(settings.database, cases[_i].is.database);
        ck_assert_msg(settings.size == cases[_i].is.size, "%s", cases[_i].what);
        ck_assert_msg(settings.debug == cases[_i].is.debug, "%s", cases[_i].what);
        ck_assert_msg(settings.must == cases[_i].is.must, "%s", cases[_i].what);
        return;
    }
    child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(9);
        read_case(_i, &settings);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == cases[_i].status, "%s: %d",
                  cases[_i].what, WEXITSTATUS(status));
}
END_TEST

int
main(void)
{
    TCase *test = check_case("config");

    tcase_add_loop_test(test, flags_are_read_or_refused, 0, ROWS(cases));
    return check_run("base_config", test);
}
