/* Which media type a client wants, as a table. */
#include "mesh/http/accept.h"
#include "tests/support/check.h"

#define OPEN "application/openmetrics-text"
/* As Prometheus 2.42 and 3 ask. */
#define PROMETHEUS_2                                                                               \
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q="     \
    "0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
#define PROMETHEUS_3                                                                               \
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/"           \
    "openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"    \
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"

/* clang-format off */
static const struct {
    const char *accept, *too; /* headers; NULL: not there */
    const char *type, *version;
    int quality;
} rows[] = {
    { NULL,                              NULL, OPEN,         "1.0.0", 1000 },
    { "",                                NULL, OPEN,         "1.0.0", 0 },
    { "*/*",                             NULL, OPEN,         "1.0.0", 1000 },
    { "text/html, */*;q=0.8",            NULL, "text/plain", NULL,    800 },
    { PROMETHEUS_2,                      NULL, OPEN,         "1.0.0", 1000 },
    { PROMETHEUS_2,                      NULL, "text/plain", "0.0.4", 500 },
    { PROMETHEUS_2,                      NULL, OPEN,         "0.0.1", 750 },
    { PROMETHEUS_2,                      NULL, OPEN,         "2.0.0", 100 },
    { PROMETHEUS_3,                      NULL, OPEN,         "1.0.0", 500 },
    { PROMETHEUS_3,                      NULL, "text/plain", "0.0.4", 200 },
    { "application/*;q=0.3, */*;q=0.9",  NULL, OPEN,         NULL,    300 },
    { "*/*;q=0.9,application/*;q=0.3",   NULL, OPEN,         NULL,    300 },
    { "application/openmetrics-text;q=0,*/*", NULL, OPEN,    NULL,    0 },
    { " Application/OpenMetrics-Text ; Q=0.25 ", NULL, OPEN, NULL,    250 },
    { "application/openmetrics",         NULL, OPEN,         NULL,    0 },
    { "application/openmetrics-texts",   NULL, OPEN,         NULL,    0 },
    { "application/*",                   NULL, "text/plain", NULL,    0 },
    { "text/plain;q=0.1,text/plain;q=0.4", NULL, "text/plain", NULL,  400 },
    { "text/plain;q=0.1",  "text/plain;q=0.4", "text/plain", NULL,    400 },
    { "text/html",                "text/*;q=1", "text/plain", NULL,   1000 },
    { "text/plain;q=0.125",              NULL, "text/plain", NULL,    125 },
    { "text/plain;q=1.000",              NULL, "text/plain", NULL,    1000 },
    { "text/plain;q=0.1234",             NULL, "text/plain", NULL,    1000 },
    { "text/plain;q=2",                  NULL, "text/plain", NULL,    1000 },
    { "text/plain;q=",                   NULL, "text/plain", NULL,    1000 },
    { "text/plain;q=x",                  NULL, "text/plain", NULL,    1000 },
    { "text/plain;",                     NULL, "text/plain", NULL,    1000 },
    { ",;,;q=1,",                        NULL, "text/plain", NULL,    0 },
    { "text/plain;version",              NULL, "text/plain", "0.0.4", 1000 },
};
/* clang-format on */

START_TEST(the_most_specific_range_counts)
{
    const char *const values[] = { rows[_i].accept, rows[_i].too };
    struct http_request request = { 0 };

    request.headers[request.header_count++] = (struct http_header){ "host", "text/plain" };
    for (size_t i = 0; i < 2; i++) {
        if (values[i] != NULL)
            request.headers[request.header_count++] = (struct http_header){ "accept", values[i] };
    }
    ck_assert_int_eq(accept_quality(&request, rows[_i].type, rows[_i].version), rows[_i].quality);
}
END_TEST

int
main(void)
{
    TCase *cases = check_case("accept");

    tcase_add_loop_test(cases, the_most_specific_range_counts, 0, ROWS(rows));
    return check_run("http_accept", cases);
}
