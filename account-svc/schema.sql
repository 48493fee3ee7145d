-- The database of account-svc: the ledger, and payments at providers. Idempotent: applied at every deployment.
--
-- To recompute every balance from the transfers: SELECT * FROM ledger_check(). No row means that all
-- is well; from a checkout: ./dev psql account -c 'SELECT * FROM ledger_check()'
\ir ../mesh/store/mesh.sql

-- What was posted to an account, found by name and currency: 'wallet/alice JPY'. normal_side (1 debit,
-- 2 credit) and overdraft (0 never, 1 only to undo, 2 always) come from the chart of accounts
-- (ledger_chart.def) when the account is made.
CREATE TABLE IF NOT EXISTS account (
    key           text   COLLATE "C" NOT NULL PRIMARY KEY CHECK (key LIKE '_%/_% ___'),
    normal_side   int    NOT NULL CHECK (normal_side IN (1, 2)),
    overdraft     int    NOT NULL CHECK (overdraft IN (0, 1, 2)),
    debits_minor  bigint NOT NULL CHECK (debits_minor >= 0),
    credits_minor bigint NOT NULL CHECK (credits_minor >= 0),
    CONSTRAINT account_is_covered CHECK (
        overdraft > 0 OR CASE normal_side WHEN 1 THEN debits_minor >= credits_minor
                                          ELSE credits_minor >= debits_minor END)
) WITH (fillfactor = 80);

-- Transfers, each the record of its op. state: 0 refused, 1 posted, 2 the tombstone of a charge that
-- was undone before it arrived. All three are in one table, so that its primary key is what decides
-- between a Charge and its Refund on two replicas.
--
-- Never dropped: balances are recomputed from it and statements are read from it, for ever. So it is
-- not partitioned; ids carry their time and are inserted at the warm end of the index all the same.
--
-- That debits equal credits is not a constraint here: a row moves both sides by one amount in one op
-- (asserted in ledger.c), while a trigger that sums would cost more than all the rest of the hot path.
-- ledger_check() below is the audit.
CREATE TABLE IF NOT EXISTS transfer (
    id           uuid   NOT NULL PRIMARY KEY,
    fingerprint  bigint NOT NULL, -- 0: a tombstone
    reason       text   NOT NULL, -- '' posted
    detail       text   NOT NULL,
    state        int    NOT NULL CHECK (state IN (0, 1, 2)),
    kind         text   NOT NULL CHECK (kind IN ('transfer', 'topup', 'charge', 'refund')),
    debit_key    text   COLLATE "C" NOT NULL,
    credit_key   text   COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    reference    text   NOT NULL,
    reverses_id  uuid,            -- of a refund: its charge
    reversed_by  uuid,            -- of a charge: its refund; the only column that ever changes
    posted_at_us bigint NOT NULL,
    CHECK ((state = 1) = (reason = '')),
    CHECK ((state = 2) = (fingerprint = 0)),
    CHECK (state <> 1 OR (debit_key <> credit_key AND right(debit_key, 4) = right(credit_key, 4))),
    CHECK ((kind = 'refund') = (reverses_id IS NOT NULL)),
    CHECK (reversed_by IS NULL OR (kind = 'charge' AND state = 1))
) WITH (fillfactor = 90);
-- The order of booking. Not the id, which a caller may have made weeks ago, nor a time, for clocks step
-- back. A batch draws one number, while it holds the rows of all its accounts, and counts on from there as
-- it decides. So the transfers of one account become visible in this order, also where replicas book them.
CREATE SEQUENCE IF NOT EXISTS transfer_seq INCREMENT BY 65536;
ALTER TABLE transfer ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT nextval('transfer_seq');
-- A wallet's statement, newest first: both sides of it, merged. Only wallets have statements, so an
-- index holds only wallets, and a charge or a top-up costs one index write and not two (a transfer
-- between wallets costs both, as it must). No index mentions reversed_by: a refund's mark stays HOT.
CREATE INDEX IF NOT EXISTS transfer_out_of_wallet_by_seq ON transfer (debit_key, seq)
    WHERE state = 1 AND debit_key LIKE 'wallet/%';
CREATE INDEX IF NOT EXISTS transfer_into_wallet_by_seq ON transfer (credit_key, seq)
    WHERE state = 1 AND credit_key LIKE 'wallet/%';
DROP INDEX IF EXISTS transfer_out_of_wallet, transfer_into_wallet;

-- What holds have reserved of a balance: it may not be spent otherwise.
ALTER TABLE account ADD COLUMN IF NOT EXISTS held_minor bigint NOT NULL DEFAULT 0 CHECK (held_minor >= 0);

-- Money reserved for a transfer; its op's record is in op. state: 1 held, 2 posted, 3 voided, 4 expired.
-- A tombstone (voided before it arrived) names no accounts. A state changes once or twice, off the path
-- of orders, so the sweep may have an index of what is held.
CREATE TABLE IF NOT EXISTS ledger_hold (
    id           uuid   NOT NULL PRIMARY KEY,
    state        int    NOT NULL CHECK (state BETWEEN 1 AND 4),
    debit_key    text   COLLATE "C" NOT NULL,
    credit_key   text   COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    posted_minor bigint NOT NULL CHECK (posted_minor BETWEEN 0 AND amount_minor),
    posted_by    uuid,
    reference    text   NOT NULL,
    until_us     bigint NOT NULL,
    CHECK ((state = 2) = (posted_by IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS ledger_hold_held ON ledger_hold (until_us) WHERE state = 1;

-- The audit: what disagrees, with the stored and the recomputed sum. No rows: all is well. It looks at all
-- rows, so plans that services pin are not for it.
DROP FUNCTION IF EXISTS ledger_check();
CREATE FUNCTION ledger_check()
RETURNS TABLE (what text, key text, stored numeric, computed numeric)
LANGUAGE sql STABLE
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET plan_cache_mode = auto
AS $$
    WITH posted AS (SELECT * FROM transfer WHERE state = 1),
    entry AS (
        SELECT debit_key AS key, amount_minor AS debit_minor, 0 AS credit_minor FROM posted
        UNION ALL
        SELECT credit_key, 0, amount_minor FROM posted),
    computed AS (
        SELECT e.key, sum(e.debit_minor) AS debits, sum(e.credit_minor) AS credits
        FROM entry e GROUP BY e.key)
    SELECT 'debits of an account', coalesce(a.key, c.key), a.debits_minor, coalesce(c.debits, 0)
    FROM account a FULL JOIN computed c ON c.key = a.key
    WHERE a.debits_minor IS DISTINCT FROM coalesce(c.debits, 0)
    UNION ALL
    SELECT 'credits of an account', coalesce(a.key, c.key), a.credits_minor, coalesce(c.credits, 0)
    FROM account a FULL JOIN computed c ON c.key = a.key
    WHERE a.credits_minor IS DISTINCT FROM coalesce(c.credits, 0)
    UNION ALL
    SELECT 'debits and credits of a currency', right(a.key, 3), sum(a.debits_minor), sum(a.credits_minor)
    FROM account a GROUP BY right(a.key, 3) HAVING sum(a.debits_minor) <> sum(a.credits_minor)
    UNION ALL
    SELECT 'held of an account', a.key, a.held_minor, coalesce(h.held, 0)
    FROM account a LEFT JOIN (SELECT debit_key, sum(amount_minor) AS held FROM ledger_hold
                              WHERE state = 1 GROUP BY debit_key) h ON h.debit_key = a.key
    WHERE a.held_minor <> CASE a.normal_side WHEN 2 THEN coalesce(h.held, 0) ELSE 0 END
    UNION ALL
    SELECT 'held more than there is', a.key, a.held_minor, a.credits_minor - a.debits_minor
    FROM account a WHERE a.overdraft = 0 AND a.held_minor > a.credits_minor - a.debits_minor
      AND a.normal_side = 2
    UNION ALL
    SELECT 'overdrawn by refunds', a.key, a.credits_minor, a.debits_minor
    FROM account a WHERE a.overdraft = 1
      AND CASE a.normal_side WHEN 1 THEN a.debits_minor < a.credits_minor
                             ELSE a.credits_minor < a.debits_minor END
    UNION ALL
    SELECT 'charge whose refund does not mirror it', c.id::text, c.amount_minor, r.amount_minor
    FROM posted c LEFT JOIN posted r ON r.id = c.reversed_by
    WHERE c.reversed_by IS NOT NULL
      AND (r.reverses_id, r.debit_key, r.credit_key, r.amount_minor)
          IS DISTINCT FROM (c.id, c.credit_key, c.debit_key, c.amount_minor)
    UNION ALL
    SELECT 'refund that its charge does not know', r.id::text, r.amount_minor, c.amount_minor
    FROM posted r LEFT JOIN posted c ON c.id = r.reverses_id
    WHERE r.kind = 'refund' AND c.reversed_by IS DISTINCT FROM r.id
$$;

-- Payments at providers, each the record of its Create. observed: 1 created, 2 pending, 3 authorized,
-- 4 failed, 5 expired, 6 canceled, 7 succeeded. claim: 1 open, 2 taken, 3 abandoned, 4 returned.
-- refunds: one a line, "amount_minor refund_id". Never dropped: money may have to go back.
CREATE TABLE IF NOT EXISTS payment (
    id               uuid    NOT NULL PRIMARY KEY,
    fingerprint      bigint  NOT NULL, -- 0: a tombstone, abandoned before it arrived
    reason           text    NOT NULL,
    detail           text    NOT NULL,
    order_id         uuid    NOT NULL, -- and the saga that hears of changes
    provider         text    COLLATE "C" NOT NULL,
    amount_minor     bigint  NOT NULL CHECK (amount_minor >= 0),
    currency         text    NOT NULL,
    description      text    NOT NULL,
    return_url       text    NOT NULL,
    observed         int     NOT NULL CHECK (observed BETWEEN 0 AND 7),
    claim            int     NOT NULL CHECK (claim BETWEEN 1 AND 4),
    is_quarantined   boolean NOT NULL,
    abandon_asked_us bigint  NOT NULL, -- 0: nobody asked
    version          int     NOT NULL CHECK (version >= 0),
    signaled_version int     NOT NULL CHECK (signaled_version >= 0),
    url              text    NOT NULL,
    reference        text    NOT NULL,
    expires_at_us    bigint  NOT NULL,
    refunds          text    NOT NULL,
    occurred_at_us   bigint  NOT NULL,
    created_at_us    bigint  NOT NULL,
    changed_at_us    bigint  NOT NULL,
    traceparent      text    NOT NULL,
    CHECK (fingerprint <> 0 OR (claim = 3 AND observed = 0)),
    CHECK (claim NOT IN (2, 4) OR observed = 7),
    CHECK (signaled_version <= version)
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS payment_by_order ON payment (order_id, id);
-- Money may have to go back and the program cannot see to it; few ever, so the index is small.
ALTER TABLE payment ADD COLUMN IF NOT EXISTS needs_person boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS payment_for_persons ON payment (id) WHERE needs_person;
-- Why: 0 nothing, 1 quarantined, 2 refund refused, 3 refund unanswered, 4 unreadable, 5 unanswered, 6 still open.
ALTER TABLE payment ADD COLUMN IF NOT EXISTS trouble int NOT NULL DEFAULT 0
    CONSTRAINT payment_troubles CHECK (trouble BETWEEN 0 AND 6);
UPDATE payment SET trouble = CASE WHEN is_quarantined THEN 1 ELSE 2 END WHERE needs_person AND trouble = 0;
-- Why there was no way to pay it; and until when its order waits: its provider may say another time.
ALTER TABLE payment ADD COLUMN IF NOT EXISTS failure_reason text NOT NULL DEFAULT '';
ALTER TABLE payment ADD COLUMN IF NOT EXISTS failure_detail text NOT NULL DEFAULT '';
ALTER TABLE payment ADD COLUMN IF NOT EXISTS ends_at_us bigint NOT NULL DEFAULT 0;
-- Of a quarantined one: what the provider took, and what a person said to it.
ALTER TABLE payment ADD COLUMN IF NOT EXISTS booked_minor bigint NOT NULL DEFAULT 0 CHECK (booked_minor >= 0);
ALTER TABLE payment ADD COLUMN IF NOT EXISTS booked_currency text NOT NULL DEFAULT '';
ALTER TABLE payment ADD COLUMN IF NOT EXISTS settle_asked_us bigint NOT NULL DEFAULT 0;
ALTER TABLE payment ADD COLUMN IF NOT EXISTS settle_comment text NOT NULL DEFAULT '';
-- What a saga has not acknowledged. A payment changes a handful of times and not, as a wallet does,
-- on every order, so its updates need not stay HOT.
ALTER TABLE payment ADD COLUMN IF NOT EXISTS signal_due_us bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS payment_signal_due ON payment (signal_due_us)
    WHERE signaled_version < version;
DROP INDEX IF EXISTS payment_unsignaled;

-- Webhooks that were here, by "provider event_id": kept for 45 days, longer than any provider retries.
CREATE TABLE IF NOT EXISTS payment_inbox (
    key            text   COLLATE "C" NOT NULL PRIMARY KEY,
    request_id     uuid   NOT NULL,
    payment_id     uuid   NOT NULL,
    received_at_us bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS payment_inbox_by_time ON payment_inbox (received_at_us);

-- What must be asked of a payment's provider next, one task at a time. kind: 0 nothing, 1 create,
-- 2 query, 3 cancel, 4 refund, 5 query of our refund. While it is leased, due_us is when the lease runs out.
CREATE TABLE IF NOT EXISTS provider_task (
    payment_id       uuid    NOT NULL PRIMARY KEY,
    provider         text    COLLATE "C" NOT NULL,
    kind             int     NOT NULL,
    due_us           bigint  NOT NULL,
    is_leased        boolean NOT NULL,
    lease            int     NOT NULL,
    attempts         int     NOT NULL,
    create_state     int     NOT NULL,
    abandon_step     int     NOT NULL,
    polls            int     NOT NULL,
    query_wanted     boolean NOT NULL,
    last_query_done  boolean NOT NULL,
    queried_at_us    bigint  NOT NULL,
    watched_until_us bigint  NOT NULL,
    give_up_us       bigint  NOT NULL -- when an Abandon is decided without the provider; 0: none waits
) WITH (fillfactor = 80);
-- 0 may be sent, 1 in doubt, 2 denied, 3 asked for in vain.
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS refund_state int NOT NULL DEFAULT 0;
-- From when the backoff is counted, and the query that a hint wants: of hints and of time, see payment.h.
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS tried_us bigint NOT NULL DEFAULT 0;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS is_by_hint boolean NOT NULL DEFAULT false;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS is_hint_asked boolean NOT NULL DEFAULT false;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS hint_attempts int NOT NULL DEFAULT 0;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS silent_since_us bigint NOT NULL DEFAULT 0;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS refund_sent_us bigint NOT NULL DEFAULT 0;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS last_query_us bigint NOT NULL DEFAULT 0;
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS unread int NOT NULL DEFAULT 0;
-- 0 create, 1 look, 2 refund, 3 ask, 4 cancel: each provider is asked for them apart.
ALTER TABLE provider_task ADD COLUMN IF NOT EXISTS errand int NOT NULL DEFAULT 3 CHECK (errand BETWEEN 0 AND 4);
-- Of databases that were made when there were fewer kinds and states.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint
                   WHERE conrelid = 'provider_task'::regclass AND conname = 'provider_task_steps') THEN
        ALTER TABLE provider_task ADD CONSTRAINT provider_task_steps CHECK (
            kind BETWEEN 0 AND 5 AND create_state BETWEEN 0 AND 9
            AND abandon_step BETWEEN 0 AND 3 AND refund_state BETWEEN 0 AND 3);
    END IF;
    IF EXISTS (SELECT FROM pg_constraint
               WHERE conrelid IN ('provider_task'::regclass, 'payment'::regclass)
                 AND conname IN ('provider_task_kind_check', 'provider_task_create_state_check',
                                 'provider_task_abandon_step_check', 'provider_task_refund_state_check',
                                 'provider_task_kind', 'provider_task_create',
                                 'provider_task_kinds', 'provider_task_states', 'payment_trouble_check')) THEN
        ALTER TABLE provider_task
            DROP CONSTRAINT IF EXISTS provider_task_kind_check,
            DROP CONSTRAINT IF EXISTS provider_task_create_state_check,
            DROP CONSTRAINT IF EXISTS provider_task_abandon_step_check,
            DROP CONSTRAINT IF EXISTS provider_task_refund_state_check,
            DROP CONSTRAINT IF EXISTS provider_task_kind,
            DROP CONSTRAINT IF EXISTS provider_task_create,
            DROP CONSTRAINT IF EXISTS provider_task_kinds,
            DROP CONSTRAINT IF EXISTS provider_task_states;
        ALTER TABLE payment DROP CONSTRAINT IF EXISTS payment_trouble_check;
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS provider_task_by_errand ON provider_task (provider, errand, due_us);
DROP INDEX IF EXISTS provider_task_by_due;
CREATE INDEX IF NOT EXISTS provider_task_to_give_up ON provider_task (give_up_us)
    WHERE give_up_us > 0;
