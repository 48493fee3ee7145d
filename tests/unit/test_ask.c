/* What goes to strangers: where secrets may be sent, and how a webhook is signed. */
#include "mesh/ask/ask.h"
#include "mesh/ask/signature.h"
#include "tests/support/check.h"

#include <string.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

/* clang-format off */
static const struct {
    const char *text;
    size_t bytes; /* 0: refused */
} secrets[] = {
    { SECRET, 24 },
    { "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 24 },
    { "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 32 },
    { "", 0 }, { "whsec_", 0 }, { "whsec_AAAA", 0 }, { "whsec_not base64 at all!", 0 },
    { "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", 0 },
};
/* clang-format on */

START_TEST(secret_is_read)
{
    struct signature_key secret = { .count = 0 };

    ck_assert_int_eq(signature_key_read(secrets[_i].text, &secret), secrets[_i].bytes > 0);
    ck_assert_uint_eq(secret.count, secrets[_i].bytes);
}
END_TEST

/* The example of the specification. */
START_TEST(webhook_is_signed)
{
    static const char body[] = "{\"test\": 2432232314}";
    char text[SIGNATURE_TEXT_BYTES + 1];
    struct signature_key key;

    ck_assert(signature_key_read(SECRET, &key));
    ck_assert(signature_print(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body,
                              sizeof body - 1, text));
    ck_assert_str_eq(text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
END_TEST

/* clang-format off */
static const struct {
    const char *url;
    bool is_loopback;
} hosts[] = {
    { "http://127.0.0.1",             true  }, { "http://127.0.0.1:7501/v1",   true  },
    { "http://127.9.9.9/",            true  }, { "https://localhost",          true  },
    { "http://localhost:1/x",         true  }, { "http://[::1]:80/x",          true  },
    { "http://[::1]",                 true  }, { "http://127.0.0.1.evil.test", false },
    { "http://localhost.evil.test",   false }, { "http://localhost@evil.test", false },
    { "http://127.0.0.1:1@evil.test", false }, { "http://[::1].evil.test",     false },
    { "http://[::1]@evil.test",       false }, { "http://10.0.0.1",            false },
    { "http://127.1",                 false }, { "http://pay.example/127.0.0.1", false },
    { "127.0.0.1",                    false }, { "http://",                    false },
};
/* clang-format on */

START_TEST(host_is_this_machine)
{
    ck_assert_msg(ask_url_is_loopback(hosts[_i].url) == hosts[_i].is_loopback, "%s", hosts[_i].url);
}
END_TEST

/* clang-format off */
static const struct {
    const char *url;
    bool is_safe;
} urls[] = {
    { "https://hooks.example/x", true  }, { "http://127.0.0.1:8080/x", true  },
    { "http://hooks.example/x",  false }, { "ftp://127.0.0.1/x",       false },
    { "hooks.example",           false }, { "",                        false },
};
/* clang-format on */

START_TEST(secrets_go_by_tls)
{
    ck_assert_msg((ask_why_not_safe(urls[_i].url) == NULL) == urls[_i].is_safe, "%s", urls[_i].url);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("ask");

    tcase_add_loop_test(cases, secret_is_read, 0, ROWS(secrets));
    tcase_add_test(cases, webhook_is_signed);
    tcase_add_loop_test(cases, host_is_this_machine, 0, ROWS(hosts));
    tcase_add_loop_test(cases, secrets_go_by_tls, 0, ROWS(urls));
    return check_run("ask", cases);
}
