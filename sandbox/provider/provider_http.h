/* provider_http.h -- The provider's routes. The owner of the server's exchanges is a struct provider.
 *
 * Thread    The handlers run on the server's loop, what they ask for on the desk's thread.
 */
#ifndef SANDBOX_PROVIDER_HTTP_H
#define SANDBOX_PROVIDER_HTTP_H

#include "sandbox/provider/provider_desk.h"

enum { API_KEY_BYTES_MAX = 256 };

struct provider {
    struct desk desk;
    char api_key[API_KEY_BYTES_MAX];
};

/* Ended by one of zeros. */
struct provider_tables {
    struct http_table of[3];
};
struct provider_tables provider_tables(struct provider *provider);

#endif
