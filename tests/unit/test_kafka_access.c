/* Which flags for Kafka's TLS and SASL go together. */
#include "mesh/kafka/access.h"
#include "tests/support/check.h"

/* clang-format off */
static const struct {
    struct kafka_access_settings settings;
    const char *flag; /* that is refused; NULL: none is */
} rows[] = {
    { { "", "", "", "", "", "" },                                       NULL },
    { { "ca", "", "", "", "", "" },                                     NULL },
    { { "system", "", "", "", "", "" },                                 NULL },
    { { "ca", "cert", "key", "", "", "" },                              NULL },
    { { "ca", "", "", "SCRAM-SHA-512", "mesh", "file" },                NULL },
    { { "ca", "cert", "key", "SCRAM-SHA-256", "mesh", "file" },         NULL },
    { { "", "", "", "SCRAM-SHA-512", "mesh", "file" },                  NULL },
    { { "ca", "", "", "PLAIN", "mesh", "file" },                        NULL },
    { { "", "", "", "PLAIN", "mesh", "file" },                          "--kafka-sasl-mechanism" },
    { { "ca", "", "", "GSSAPI", "mesh", "file" },                       "--kafka-sasl-mechanism" },
    { { "ca", "", "", "scram-sha-512", "mesh", "file" },                "--kafka-sasl-mechanism" },
    { { "", "cert", "key", "", "", "" },                                "--kafka-tls-cert" },
    { { "ca", "cert", "", "", "", "" },                                 "--kafka-tls-key" },
    { { "ca", "", "key", "", "", "" },                                  "--kafka-tls-key" },
    { { "ca", "", "", "SCRAM-SHA-512", "", "file" },                    "--kafka-user" },
    { { "ca", "", "", "SCRAM-SHA-512", "mesh", "" },                    "--kafka-password-file" },
    { { "ca", "", "", "", "mesh", "file" },                             "--kafka-user" },
    { { "ca", "", "", "", "", "file" },                                 "--kafka-user" },
};
/* clang-format on */

START_TEST(flags_go_together_or_one_is_named)
{
    struct problem problem = { 0 };
    enum error error = kafka_access_check(&rows[_i].settings, &problem);

    ck_assert_int_eq(error, rows[_i].flag == NULL ? ERR_OK : ERR_BAD_REQUEST);
    if (rows[_i].flag != NULL)
        ck_assert_str_eq(problem.field, rows[_i].flag);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("access");

    tcase_add_loop_test(cases, flags_go_together_or_one_is_named, 0, ROWS(rows));
    return check_run("kafka_access", cases);
}
