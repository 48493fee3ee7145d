/* The file of those who are told of alerts, and which of them an alert concerns. */
#include "alerts/notify.h"
#include "mesh/base/clock.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test-notify-XXXXXX";

static void
put(const char *name, const char *text)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static enum error
open_text(const char *text, struct notify **ret_notify)
{
    char path[128];

    snprintf(path, sizeof path, "%s/config", folder);
    put("config", text);
    return notify_open(path, ret_notify);
}

static void
make_folder(void)
{
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    put("key", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    put("url", "https://hooks.example/services/T0/B0/secret\n");
    put("plain", "http://hooks.example/services/T0\n");
    put("empty", "");
}

static void
drop_folder(void)
{
    static const char *const names[] = { "key", "url", "plain", "empty", "config" };
    char path[128];

    for (int i = 0; i < ROWS(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

#define ONE(members) "{\"destinations\":{\"a\":{" members "}}}"
#define HOOK "\"form\":\"standard-webhooks\",\"url\":\"https://x\",\"secret_file\":\"key\""
#define CHAT "\"form\":\"slack\",\"url_file\":\"url\""

/* clang-format off */
static const struct {
    const char *text;
    bool is_good;
} configs[] = {
    { "{\"destinations\":{}}",                                          true  },
    { ONE(HOOK),                                                        true  },
    { ONE(CHAT),                                                        true  },
    { ONE(CHAT ",\"states\":[\"raised\"],\"severities\":[\"high\"]"),   true  },
    { ONE("\"form\":\"slack\",\"url\":\"http://127.0.0.1:1/x\""),       true  },
    { "",                                                               false },
    { "{}",                                                             false },
    { "{\"destinations\":[]}",                                          false },
    { "{\"destinations\":{\"a\":1}}",                                   false },
    { "{\"destinations\":{\"a b\":{" CHAT "}}}",                        false },
    { "{\"destinations\":{\"\":{" CHAT "}}}",                           false },
    { ONE("\"form\":\"mail\",\"url\":\"https://x\""),                   false },
    { ONE("\"url\":\"https://x\""),                                     false },
    { ONE("\"form\":\"slack\""),                                        false },
    { ONE("\"form\":\"slack\",\"url\":5"),                              false },
    { ONE("\"form\":\"slack\",\"url\":\"http://hooks.example/x\""),     false },
    { ONE("\"form\":\"slack\",\"url_file\":\"plain\""),                 false },
    { ONE("\"form\":\"slack\",\"url_file\":\"empty\""),                 false },
    { ONE("\"form\":\"slack\",\"url_file\":\"none\""),                  false },
    { ONE(CHAT ",\"url\":\"https://x\""),                               false },
    { ONE(CHAT ",\"secret_file\":\"key\""),                             false },
    { ONE("\"form\":\"standard-webhooks\",\"url\":\"https://x\""),      false },
    { ONE("\"form\":\"standard-webhooks\",\"url\":\"https://x\",\"secret_file\":\"url\""), false },
    { ONE(CHAT ",\"states\":[]"),                                       false },
    { ONE(CHAT ",\"states\":[\"open\"]"),                               false },
    { ONE(CHAT ",\"states\":\"raised\""),                               false },
    { ONE(CHAT ",\"severities\":[]"),                                   false },
    { ONE(CHAT ",\"severities\":[1]"),                                  false },
    { ONE(CHAT ",\"severities\":[\"longer than sixteen\"]"),            false },
    { ONE(CHAT ",\"severity\":[\"high\"]"),                             false },
};
/* clang-format on */

START_TEST(configuration_is_read)
{
    struct notify *notify = NULL;
    enum error error = open_text(configs[_i].text, &notify);

    ck_assert_msg((error == ERR_OK) == configs[_i].is_good, "%s", configs[_i].text);
    notify_free(notify);
}
END_TEST

/* clang-format off */
static const struct {
    const char *severity;
    bool is_raised;
    const char *names; /* of those who are told */
} told[] = {
    { "high", true,  "all raised high " }, { "high", false, "all resolved high " },
    { "low",  true,  "all raised "      }, { "low",  false, "all resolved "      },
};
/* clang-format on */

START_TEST(those_are_told_who_want_it)
{
    struct arena *arena = arena_new();
    struct uuid id = uuid_v7(clock_now_us());
    struct notice_row *rows;
    struct notify *notify;
    char names[128] = "", key[128], text[UUID_TEXT_BYTES + 1];
    size_t count;

    ck_assert_int_eq(open_text("{\"destinations\":{"
                               "\"all\":{" CHAT "},"
                               "\"raised\":{" CHAT ",\"states\":[\"raised\"]},"
                               "\"resolved\":{" CHAT ",\"states\":[\"resolved\"]},"
                               "\"high\":{" HOOK ",\"severities\":[\"top\",\"high\"]}}}",
                               &notify),
                     ERR_OK);
    count = notify_rows(notify, id, told[_i].severity, told[_i].is_raised, 1000, arena, &rows);
    for (size_t i = 0; i < count; i++) {
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s ", rows[i].destination);
        snprintf(key, sizeof key, "%s/%s/%s", uuid_print(id, text),
                 told[_i].is_raised ? "raised" : "resolved", rows[i].destination);
        ck_assert_str_eq(rows[i].key, key);
        ck_assert_int_eq(rows[i].made_us, 1000);
        ck_assert_ptr_nonnull(notify_find(notify, rows[i].destination));
    }
    ck_assert_str_eq(names, told[_i].names);
    ck_assert_ptr_null(notify_find(notify, "nobody"));
    notify_free(notify);
    arena_free(arena);
}
END_TEST

START_TEST(without_a_file_nobody_is_told)
{
    struct arena *arena = arena_new();
    struct notice_row *rows;
    struct notify *notify;

    ck_assert_int_eq(notify_open("", &notify), ERR_OK);
    ck_assert_uint_eq(notify_rows(notify, (struct uuid){ 0 }, "high", true, 1, arena, &rows), 0);
    notify_free(notify);
    arena_free(arena);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("notify");

    tcase_add_checked_fixture(cases, make_folder, drop_folder);
    tcase_add_loop_test(cases, configuration_is_read, 0, ROWS(configs));
    tcase_add_loop_test(cases, those_are_told_who_want_it, 0, ROWS(told));
    tcase_add_test(cases, without_a_file_nobody_is_told);
    return check_run("notify", cases);
}
