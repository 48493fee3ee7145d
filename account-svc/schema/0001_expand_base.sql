-- The database of account-svc: the ledger, and payments at providers. Idempotent, for databases of before steps had numbers.
-- To audit the ledger from a checkout: ./dev psql account -c 'SELECT * FROM ledger_check()'
\ir ../../mesh/store/mesh.sql
\ir ../ledger/ledger.sql

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
