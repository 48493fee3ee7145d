#include "sagactl/ctl_audit.h"
#include "mesh/base/clock.h"
#include "sagactl/ctl_pages.h"
#include "sagactl/ctl_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ATTEMPTS = 5, RATE_USUAL = 2000, TOKEN_BYTES_MAX = 128 };

#define SAGA (&sagamesh__saga__v1__saga_service__descriptor)
#define ORDER (&sagamesh__order__v1__order_service__descriptor)
#define STORAGE (&sagamesh__storage__v1__storage_service__descriptor)
#define LEDGER (&sagamesh__ledger__v1__ledger_service__descriptor)
#define PAYMENT (&sagamesh__payment__v1__payment_service__descriptor)

static const char *const kinds[] = { "orders", "holds", "charges", "payments" };

/* ---- telling ---- */

static void
tell_end(struct audit *audit)
{
    bool is_clean = audit->findings == 0;

    if (audit->ctl->is_json) {
        json_close_array(&audit->json);
        for (enum audit_kind kind = 0; kind < AUDIT_KIND_COUNT; kind++)
            json_put_int(&audit->json, kinds[kind], audit->looked_at[kind]);
        json_put_bool(&audit->json, "has_more", audit->has_more);
        json_put_bool(&audit->json, "is_clean", is_clean);
        json_close_object(&audit->json);
        ctl_pages_flush(&audit->json);
        putchar('\n');
        return;
    }
    printf("%s: %" PRId64 " findings%s; looked at %" PRId64 " orders, %" PRId64 " holds, %" PRId64
           " charges, %" PRId64 " payments%s\n",
           is_clean ? "all is well" : "all is NOT well", audit->findings,
           audit->has_more ? " and more" : "", audit->looked_at[AUDIT_ORDER],
           audit->looked_at[AUDIT_HOLD], audit->looked_at[AUDIT_CHARGE],
           audit->looked_at[AUDIT_PAYMENT],
           audit->ctl->skips_sums ? "; no sums" : ", and recomputed all sums");
}

/* ---- walking ---- */

/* After a page: not more than --rate things a second. */
static void
keep_pace(struct audit *audit, enum audit_kind kind, size_t count, int64_t began_us)
{
    int64_t rate = audit->ctl->rate > 0 ? audit->ctl->rate : RATE_USUAL;
    int64_t left_us = began_us + (int64_t)count * SECOND_US / rate - clock_steady_us();
    const struct timespec pause = { .tv_sec = left_us / SECOND_US,
                                    .tv_nsec = left_us % SECOND_US * 1000 };

    audit->looked_at[kind] += (int64_t)count;
    if (left_us > 0)
        nanosleep(&pause, NULL);
}

static bool
is_before(const char *text, int64_t since_us)
{
    struct uuid id;

    return uuid_parse(text, strlen(text), &id) && uuid_time_us(id) < since_us;
}

/* A walk's page: asked for from token on, and looked at. *ret_token is that of the next one, NULL at
 * the end. False: a service did not answer. */
typedef bool audit_page(struct audit *audit, const char *token, const char **ret_token);

static bool
open_orders_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Order__V1__ListOpenRequest request = SAGAMESH__ORDER__V1__LIST_OPEN_REQUEST__INIT;
    const Sagamesh__Order__V1__ListOpenResponse *page;
    int64_t began_us = clock_steady_us();

    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Order__V1__ListOpenResponse *)ctl_client_ask(audit->order, ORDER,
                                                                         "ListOpen", &request.base);
    if (page == NULL || !audit_look_orders(audit, page->orders, page->n_orders))
        return false;
    keep_pace(audit, AUDIT_ORDER, page->n_orders, began_us);
    *ret_token = page->next_page_token;
    return true;
}

/* Open ones of any age were looked at before. */
static bool
orders_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Order__V1__ListRequest request = SAGAMESH__ORDER__V1__LIST_REQUEST__INIT;
    const Sagamesh__Order__V1__ListResponse *page;
    Sagamesh__Order__V1__Order **ended;
    int64_t began_us = clock_steady_us();
    size_t count = 0;

    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Order__V1__ListResponse *)ctl_client_ask(audit->order, ORDER, "List",
                                                                     &request.base);
    if (page == NULL)
        return false;
    *ret_token = page->next_page_token;
    ended = arena_take(audit->ctl->arena, page->n_orders * sizeof *ended);
    for (size_t i = 0; i < page->n_orders; i++) {
        if (page->orders[i]->placed_at_us < audit->since_us)
            *ret_token = "";
        else if (audit_is_final(page->orders[i]))
            ended[count++] = page->orders[i];
    }
    if (!audit_look_orders(audit, ended, count))
        return false;
    keep_pace(audit, AUDIT_ORDER, count, began_us);
    return true;
}

static bool
holds_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Storage__V1__ListHoldsRequest request =
        SAGAMESH__STORAGE__V1__LIST_HOLDS_REQUEST__INIT;
    const Sagamesh__Storage__V1__ListHoldsResponse *page;
    int64_t began_us = clock_steady_us();

    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Storage__V1__ListHoldsResponse *)ctl_client_ask(
        audit->storage, STORAGE, "ListHolds", &request.base);
    if (page == NULL || !audit_look_holds(audit, page->holds, page->n_holds))
        return false;
    keep_pace(audit, AUDIT_HOLD, page->n_holds, began_us);
    *ret_token = page->next_page_token;
    return true;
}

static bool
charges_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Ledger__V1__ListChargesRequest request =
        SAGAMESH__LEDGER__V1__LIST_CHARGES_REQUEST__INIT;
    const Sagamesh__Ledger__V1__ListChargesResponse *page;
    int64_t began_us = clock_steady_us();

    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Ledger__V1__ListChargesResponse *)ctl_client_ask(
        audit->account, LEDGER, "ListCharges", &request.base);
    if (page == NULL || !audit_look_charges(audit, page->charges, page->n_charges))
        return false;
    keep_pace(audit, AUDIT_CHARGE, page->n_charges, began_us);
    *ret_token = page->next_page_token;
    return true;
}

static bool
payments_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Payment__V1__ListAllRequest request = SAGAMESH__PAYMENT__V1__LIST_ALL_REQUEST__INIT;
    const Sagamesh__Payment__V1__ListAllResponse *page;
    int64_t began_us = clock_steady_us();

    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Payment__V1__ListAllResponse *)ctl_client_ask(audit->account, PAYMENT,
                                                                          "ListAll", &request.base);
    if (page == NULL || !audit_look_payments(audit, page->payments, page->n_payments))
        return false;
    keep_pace(audit, AUDIT_PAYMENT, page->n_payments, began_us);
    *ret_token = page->next_page_token;
    return true;
}

/* Newest first. is_by_id: down to what is older than --days, since tokens are ids and carry their time. */
static bool
walk(struct audit *audit, audit_page *page, bool is_by_id)
{
    struct arena *outer = audit->ctl->arena;
    char token[TOKEN_BYTES_MAX] = "";
    bool is_fine = true;

    audit->ctl->arena = arena_new();
    do {
        const char *next = "";

        is_fine = page(audit, token, &next);
        if (is_fine && is_by_id && is_before(next, audit->since_us))
            next = "";
        snprintf(token, sizeof token, "%s", next);
        arena_reset(audit->ctl->arena);
    } while (is_fine && token[0] != '\0');
    arena_free(audit->ctl->arena);
    audit->ctl->arena = outer;
    return is_fine;
}

static bool
walk_all(struct audit *audit)
{
    static const struct {
        audit_page *page;
        bool is_by_id;
    } pages[] = { { open_orders_page, false },
                  { orders_page, false },
                  { holds_page, true },
                  { charges_page, true },
                  { payments_page, true } };

    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (!walk(audit, pages[i].page, pages[i].is_by_id))
            return false;
        if (!audit->ctl->is_json)
            fprintf(stderr,
                    "sagactl: %" PRId64 " orders, %" PRId64 " holds, %" PRId64 " charges, %" PRId64
                    " payments so far, %zu of them to be looked at again\n",
                    audit->looked_at[AUDIT_ORDER], audit->looked_at[AUDIT_HOLD],
                    audit->looked_at[AUDIT_CHARGE], audit->looked_at[AUDIT_PAYMENT],
                    audit->suspect_count);
    }
    return true;
}

/* ---- the second look ---- */

static int
compare_ids(const void *a, const void *b)
{
    return uuid_compare(a, b);
}

/* An id may have been met twice, by a list that moved. */
static size_t
sort_out(struct uuid *ids, size_t count)
{
    size_t kept = 0;

    if (count > 0)
        qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !uuid_equal(ids[kept - 1], ids[i]))
            ids[kept++] = ids[i];
    }
    return kept;
}

static bool
look_again(struct audit *audit)
{
    const struct timespec pause = { .tv_sec = audit->ctl->pause_seconds };
    struct arena *outer = audit->ctl->arena;
    bool is_fine = true;

    if (audit->suspect_count == 0)
        return true;
    nanosleep(&pause, NULL);
    audit->is_second_look = true;
    audit->now_us = clock_now_us();
    audit->ctl->arena = arena_new();
    for (enum audit_kind kind = 0; is_fine && kind < AUDIT_KIND_COUNT; kind++) {
        size_t count = sort_out(audit->suspects[kind], audit->counts[kind]);

        for (size_t first = 0; is_fine && first < count; first += AUDIT_CHUNK) {
            size_t n = count - first < AUDIT_CHUNK ? count - first : AUDIT_CHUNK;

            is_fine = audit_look_again(audit, kind, audit->suspects[kind] + first, n);
            arena_reset(audit->ctl->arena);
        }
    }
    arena_free(audit->ctl->arena);
    audit->ctl->arena = outer;
    return is_fine;
}

/* ---- sagas that are stuck: they stay so, and need no second look ---- */

static bool
stuck_page(struct audit *audit, const char *token, const char **ret_token)
{
    Sagamesh__Saga__V1__ListRequest request = SAGAMESH__SAGA__V1__LIST_REQUEST__INIT;
    const Sagamesh__Saga__V1__ListResponse *page;
    struct arena *arena = audit->ctl->arena;

    request.phase = SAGAMESH__SAGA__V1__SAGA_PHASE__SAGA_PHASE_STUCK;
    request.page_size = CTL_PAGE;
    request.page_token = (char *)(uintptr_t)token;
    page = (const Sagamesh__Saga__V1__ListResponse *)ctl_client_ask(audit->saga, SAGA, "List",
                                                                    &request.base);
    if (page == NULL)
        return false;
    for (size_t i = 0; i < page->n_sagas; i++) {
        const Sagamesh__Saga__V1__Saga *saga = page->sagas[i];
        struct audit_finding finding = {
            .code = "SAGA_STUCK",
            .kind = "saga",
            .id = saga->saga_id,
            .what = arena_print(arena, "waits for a person in %s: %s",
                                ctl_clean_text(saga->state, arena),
                                ctl_clean_text(saga->error_code, arena)),
            .repair = "sagactl show ID",
            .order_id = "",
        };

        audit_tell(audit, &finding);
    }
    *ret_token = page->next_page_token;
    if (page->next_page_token[0] != '\0' && audit->findings >= AUDIT_SUSPECTS_MAX) {
        audit->has_more = true;
        *ret_token = "";
    }
    return true;
}

/* ---- the word ---- */

static bool
open_all(struct audit *audit)
{
    struct ctl *ctl = audit->ctl;
    /* clang-format off */
    const struct { struct ctl_client **client; const char *name, *address; } all[] = {
        { &audit->storage, "storage", ctl->storage },
        { &audit->account, "account", ctl->account },
        { &audit->order,   "order",   ctl->order },
        { &audit->saga,    "saga",    ctl->saga },
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].client = ctl_client_open(ctl, all[i].name, all[i].address);
        if (*all[i].client == NULL)
            return false;
        ctl_client_persist(*all[i].client, ATTEMPTS);
    }
    if (ctl->alerts[0] == '\0') /* a mesh may be without it */
        return true;
    audit->alerts = ctl_client_open(ctl, "alerts", ctl->alerts);
    return audit->alerts != NULL;
}

static enum ctl_exit
run(struct audit *audit)
{
    struct ctl *ctl = audit->ctl;

    if (!open_all(audit))
        return CTL_USAGE;
    if (ctl->is_json) {
        ctl->open_list = &audit->json;
        json_open_object(&audit->json, NULL);
        json_open_array(&audit->json, "findings");
    }
    if (!walk_all(audit) || !look_again(audit) || !walk(audit, stuck_page, false) ||
        (!ctl->skips_sums && !audit_sums(audit)))
        return (enum ctl_exit)CTL_NOT_LOOKED;
    tell_end(audit);
    return audit->findings == 0 ? CTL_DONE : CTL_REFUSED;
}

enum ctl_exit
ctl_audit(struct ctl *ctl)
{
    struct audit audit = { .ctl = ctl,
                           .now_us = clock_now_us(),
                           .patience_us = ctl->minutes * 60 * SECOND_US };
    enum ctl_exit status;

    audit.since_us = audit.now_us - ctl->days * DAY_US;
    status = run(&audit);
    ctl->open_list = NULL;
    ctl_client_close(audit.storage);
    ctl_client_close(audit.account);
    ctl_client_close(audit.order);
    ctl_client_close(audit.saga);
    ctl_client_close(audit.alerts);
    for (enum audit_kind kind = 0; kind < AUDIT_KIND_COUNT; kind++)
        free(audit.suspects[kind]);
    json_writer_free(&audit.json);
    return status;
}
