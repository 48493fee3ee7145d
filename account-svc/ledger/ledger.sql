-- The ledger's tables, and its audit. A program that links the ledger includes this in its schema, behind
-- mesh/store/mesh.sql. Idempotent.
--
-- To recompute every balance from the transfers: SELECT * FROM ledger_check(). No row means that all
-- is well.

-- What was posted to an account, found by name and currency: 'wallet/alice JPY'. normal_side (1 debit,
-- 2 credit) and overdraft (0 never, 1 only to undo, 2 always) come from the chart of accounts
-- (ledger.h) when the account is made.
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

-- What debits and credits of all accounts differ by, of each currency: 0. For metrics.
CREATE OR REPLACE FUNCTION ledger_imbalance()
RETURNS TABLE (currency text, imbalance_minor bigint)
LANGUAGE sql STABLE SET enable_seqscan = on SET enable_hashjoin = on
AS $$
    SELECT right(a.key, 3), (sum(a.debits_minor) - sum(a.credits_minor))::bigint
    FROM account a GROUP BY right(a.key, 3)
$$;

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
