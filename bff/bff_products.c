/* bff_products.c -- What there is to buy. */
#include "bff/bff_job.h"
#include "bff/bff_routes.h"

#include <sagamesh/storage/v1/storage_service.pb-c.h>

static void
products_shown(struct job *job, const struct rpc_result *result)
{
    const Sagamesh__Storage__V1__ListProductsResponse *list =
        job_reply(job, result, &sagamesh__storage__v1__list_products_response__descriptor);
    struct json_writer json = { 0 };

    if (list == NULL)
        return;
    json_open_object(&json, NULL);
    json_open_array(&json, "products");
    for (size_t i = 0; i < list->n_products; i++) {
        json_open_object(&json, NULL);
        json_put_text(&json, "sku", list->products[i]->sku);
        json_put_int(&json, "unitPrice", list->products[i]->unit_price_minor);
        json_put_text(&json, "currency", list->products[i]->currency);
        json_put_int(&json, "free", list->products[i]->free);
        json_close_object(&json);
    }
    json_close_array(&json);
    if (list->next_page_token[0] != '\0')
        json_put_text(&json, "nextPageToken", list->next_page_token);
    json_close_object(&json);
    http_answer_json(job->exchange, 200, &json, NULL);
}

/* clang-format off */
static const struct field_name list_names[] = {
    { "page_size",  NULL, "pageSize" },
    { "page_token", NULL, "pageToken" },
    { 0 },
};
/* clang-format on */

static void
product_list(struct http_exchange *exchange)
{
    static const char *const names[] = { "pageSize", "pageToken", NULL };
    struct job *job = job_open_with_token(exchange);
    Sagamesh__Storage__V1__ListProductsRequest list =
        SAGAMESH__STORAGE__V1__LIST_PRODUCTS_REQUEST__INIT;

    if (!http_check_query(job->exchange, names) ||
        !http_read_page_size(job->exchange, &list.page_size))
        return;
    job->fields = list_names;
    list.page_token = (char *)http_read_query(job->exchange, "pageToken");
    job_send_alone(job, BFF_STORAGE, "sagamesh.storage.v1.StorageService/ListProducts", &list.base,
                   products_shown);
}

/* clang-format off */
const struct http_route product_routes[] = {
    { .method = "GET", .path = "/api/v1/products", .handler = product_list, .without_redis = "works" },
    { 0 },
};
/* clang-format on */
