/* bff_openapi.c -- bff/openapi.json, which is linked into the program. */
#include "bff/bff.h"

extern const char openapi_start[], openapi_end[];

void
openapi_show(struct http_exchange *exchange)
{
    struct job *job = job_open(exchange);

    job_answer_bytes(job, 200, "application/json", openapi_start,
                     (size_t)(openapi_end - openapi_start), NULL);
}
