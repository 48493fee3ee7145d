#include "account-svc/account.h"
#include "account-svc/ledger/ledger.h"
#include "mesh/base/clock.h"
#include "tests/bench/bench_lane.h"

#define WALLET_FORMAT "wallet/bench-%05d " BENCH_CURRENCY
#define CLEARING "clearing/bench " BENCH_CURRENCY

static struct account
account_of(const char *key, int64_t debits_minor, int64_t credits_minor)
{
    const struct account_kind *kind = account_kind_find(key);

    return (struct account){ .key = key,
                             .normal = (int32_t)kind->normal,
                             .overdraft = (int32_t)kind->overdraft,
                             .debits_minor = debits_minor,
                             .credits_minor = credits_minor };
}

static void
stock(struct lane *lane)
{
    int64_t count = lane->bench->wallets;
    struct account *accounts = arena_take(lane->arena, (size_t)(count + 1) * sizeof *accounts);

    for (int64_t i = 0; i < count; i++)
        accounts[i] = account_of(arena_print(lane->arena, WALLET_FORMAT, (int)i), 0, 1000000000000);
    accounts[count] = account_of(CLEARING, 0, 0);
    lane_step(lane, account_service.tables[LEDGER_ACCOUNT].insert, accounts, sizeof *accounts,
              count + 1);
}

/* A charge is one op: an order's rows come all at once. */
static void
fill(struct lane *lane, struct lane_range begun, struct lane_range gone_on)
{
    int64_t news = lane_range_count(begun), now_us = clock_now_us(), wallets = 0;
    struct transfer *transfers = arena_take(lane->arena, (size_t)news * sizeof *transfers);
    struct event *events = arena_take(lane->arena, (size_t)news * sizeof *events);
    struct account *accounts = arena_take(lane->arena, (size_t)(news + 1) * sizeof *accounts);
    const char **names = arena_take(lane->arena, (size_t)news * sizeof *names);

    (void)gone_on;
    for (int64_t i = 0; i < news; i++) {
        struct uuid id = uuid_v7(now_us);
        const char *name =
            lane_pick_name(lane, WALLET_FORMAT, lane->bench->wallets, names, wallets);

        if (name != NULL) {
            names[wallets] = name;
            accounts[wallets++] = account_of(name, lane->number, 1000000000000);
        }
        transfers[i] = (struct transfer){ .record = lane_record(id),
                                          .state = TRANSFER_POSTED,
                                          .kind = TRANSFER_CHARGE,
                                          .debit_key = names[wallets - 1],
                                          .credit_key = CLEARING,
                                          .amount_minor = BENCH_PRICE_MINOR,
                                          .reference = "00000000-0000-7000-8000-000000000000",
                                          .posted_at_us = now_us };
        lane_event(lane, &events[i], "payment", id, 1, lane->texts->payment);
    }
    accounts[wallets++] = account_of(CLEARING, 0, lane->number);
    lane_step(lane, account_service.tables[LEDGER_TRANSFER].insert, transfers, sizeof *transfers,
              news);
    lane_step(lane, account_service.tables[LEDGER_ACCOUNT].update, accounts, sizeof *accounts,
              news == 0 ? 0 : wallets);
    lane_step(lane, &event_append, events, sizeof *events, news);
}

const struct lane_plan lane_account = { .service = &account_service, .fill = fill, .stock = stock };
