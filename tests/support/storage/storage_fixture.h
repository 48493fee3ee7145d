/* storage_fixture.h -- Calls of storage as a client would make them: messages, decoded, packed.
 *
 * Memory    As in service_fixture.h.
 */
#ifndef TESTS_SUPPORT_STORAGE_STORAGE_FIXTURE_H
#define TESTS_SUPPORT_STORAGE_STORAGE_FIXTURE_H

#include "storage-svc/storage.h"
#include "tests/support/check.h"
#include "tests/support/store/service_fixture.h"

#include <sagamesh/storage/v1/storage_service.pb-c.h>

#define STORAGE(name) Sagamesh__Storage__V1__##name

#define STORAGE_INIT(name) SAGAMESH__STORAGE__V1__##name##__INIT

extern const struct service_parts storage_parts;

struct test_call *storage_put(struct uuid id, const char *sku, int64_t price_minor,
                              const char *currency);
struct test_call *storage_restock(struct uuid id, const char *sku, int64_t quantity);

/* One line, or two when sku_too is not NULL. */
struct test_call *storage_reserve(struct uuid id, const char *sku, int64_t quantity,
                                  const char *sku_too, int64_t quantity_too, int64_t hold_seconds);

struct test_call *storage_confirm(struct uuid id, struct uuid hold_id);
struct test_call *storage_release(struct uuid id, struct uuid hold_id);

#endif
