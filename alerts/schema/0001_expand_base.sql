-- The database of alerts-svc. Idempotent, for databases of before steps had numbers. Rows of journal_shard are made at
-- run time, one for each partition of the topics (journal_shard_make).
\ir ../../mesh/store/mesh.sql
\ir ../../mesh/store/journal.sql

-- What disagrees, or did. Inserted and resolved by the page of the shard that saw it; by alerts-svc itself
-- where a source of news is silent. Alerts are few, and never dropped: the same contradiction, read again
-- from Kafka, must find its alert here.
CREATE SEQUENCE IF NOT EXISTS alert_seq;
CREATE TABLE IF NOT EXISTS alert (
    id                  uuid   NOT NULL PRIMARY KEY, -- v5 of rule, order and event; of a silent source v7
    rule                text   COLLATE "C" NOT NULL,
    severity            text   NOT NULL,
    subject             text   NOT NULL, -- the order's number, or the source's name
    payload             text   NOT NULL, -- of its event when it was raised
    resolved_payload    text   NOT NULL, -- of the event that ended it; '' open
    occurred_us         bigint NOT NULL,
    detected_us         bigint NOT NULL,
    resolved_us         bigint NOT NULL, -- 0: open
    acknowledged_us     bigint NOT NULL, -- 0: not yet
    acknowledged_by     text   NOT NULL,
    acknowledged_reason text   NOT NULL,
    seq                 bigint NOT NULL DEFAULT nextval('alert_seq'), -- in the order of arrival
    CHECK ((resolved_us = 0) = (resolved_payload = '')),
    CHECK ((acknowledged_us = 0) = (acknowledged_by = ''))
);
CREATE UNIQUE INDEX IF NOT EXISTS alert_by_seq ON alert (seq);
CREATE INDEX IF NOT EXISTS alert_by_rule ON alert (rule, seq);
-- An alert changes a handful of times in its life, so its updates need not stay HOT.
CREATE INDEX IF NOT EXISTS alert_open ON alert (seq) WHERE resolved_us = 0;

-- What a person did about an alert: each the record of its BeginRepair.
CREATE TABLE IF NOT EXISTS repair (
    id          uuid   NOT NULL PRIMARY KEY,
    fingerprint bigint NOT NULL,
    reason      text   NOT NULL, -- '' accepted
    detail      text   NOT NULL,
    alert_id    uuid   NOT NULL,
    operator    text   NOT NULL,
    why         text   NOT NULL,
    begun_us    bigint NOT NULL,
    ended_us    bigint NOT NULL, -- 0: it is under way, or its tool was ended
    is_done     boolean NOT NULL, -- nothing was left to do when it ended
    outcome     text   NOT NULL  -- what was done and what is still open, a line each
);
CREATE INDEX IF NOT EXISTS repair_by_alert ON repair (alert_id, id);

-- What people are to be told, once for each alert, state and destination. While one is being sent,
-- next_us is when its lease runs out.
CREATE TABLE IF NOT EXISTS notice (
    key         text    COLLATE "C" NOT NULL PRIMARY KEY, -- "ALERT/STATE/DESTINATION"
    alert_id    uuid    NOT NULL,
    state       text    NOT NULL, -- raised, resolved
    destination text    COLLATE "C" NOT NULL,
    made_us     bigint  NOT NULL,
    next_us     bigint  NOT NULL, -- 0: it is over
    lease       int     NOT NULL DEFAULT 0,
    attempts    int     NOT NULL DEFAULT 0,
    ended_us    bigint  NOT NULL DEFAULT 0,
    is_sent     boolean NOT NULL DEFAULT false,
    trouble     text    NOT NULL DEFAULT '' -- of the last attempt
);
CREATE INDEX IF NOT EXISTS notice_due ON notice (next_us) WHERE next_us <> 0;
CREATE INDEX IF NOT EXISTS notice_by_alert ON notice (alert_id);

-- Records of Kafka that could not be read as news. due says what must be sent: 0 nothing, 1 to the topic's
-- dead letters, 2 once more to the topic, 3 both.
CREATE TABLE IF NOT EXISTS dead_letter (
    id            uuid   NOT NULL PRIMARY KEY,
    topic         text   COLLATE "C" NOT NULL,
    part          int    NOT NULL,
    place         bigint NOT NULL, -- its offset
    timestamp_ms  bigint NOT NULL,
    key           bytea,           -- NULL: none
    value         bytea,           -- NULL: a tombstone
    headers       bytea  NOT NULL, -- see alerts/dead_letter.h
    reason        text   NOT NULL,
    found_us      bigint NOT NULL,
    due           int    NOT NULL DEFAULT 1 CHECK (due BETWEEN 0 AND 3),
    claimed_until_us bigint NOT NULL DEFAULT 0, -- by the replica that sends it; or until it is tried again
    sent_us       bigint NOT NULL DEFAULT 0, -- to the topic's dead letters; 0: not yet
    resends_asked int    NOT NULL DEFAULT 0,
    resends       int    NOT NULL DEFAULT 0,
    resent_us     bigint NOT NULL DEFAULT 0,
    resend_by     text   NOT NULL DEFAULT '', -- who asked for it last, and why
    resend_reason text   NOT NULL DEFAULT '',
    UNIQUE (topic, part, place, timestamp_ms) -- a topic that was made anew counts from 0 again
);
-- How often in a row it did not arrive, and how often of these Kafka said that it will never take it; when it was
-- therefore given up, 0: it was not; and Kafka's words.
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS failures int NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS refusals int NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS refused_us bigint NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN IF NOT EXISTS refusal text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS dead_letter_due ON dead_letter (claimed_until_us) WHERE due <> 0;

-- What each shard hears of each source of news, in its own partition.
CREATE TABLE IF NOT EXISTS alert_source (
    source     text    COLLATE "C" NOT NULL,
    shard      int     NOT NULL,
    heard_us   bigint  NOT NULL, -- the time that its last heartbeat said; 0: none was heard
    checked_us bigint  NOT NULL, -- when the shard wrote this
    is_silent  boolean NOT NULL, -- the shard has read all there is, and heard_us is too long ago
    PRIMARY KEY (source, shard)
) WITH (fillfactor = 50);

-- The open alert of a silent source: one, however many replicas see it.
CREATE TABLE IF NOT EXISTS silence (
    source   text COLLATE "C" NOT NULL PRIMARY KEY,
    alert_id uuid NOT NULL -- nil: it speaks
) WITH (fillfactor = 50);

-- The audit: what disagrees within this database. No rows: all is well. It looks at all rows.
DROP FUNCTION IF EXISTS alert_check();
CREATE FUNCTION alert_check()
RETURNS TABLE (what text, key text, stored numeric, computed numeric)
LANGUAGE sql STABLE
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET plan_cache_mode = auto
AS $$
    WITH told AS (
        SELECT (e.payload::json ->> 'alertId')::uuid AS alert_id,
               count(*) FILTER (WHERE e.type LIKE '%.raised') AS raised,
               count(*) FILTER (WHERE e.type LIKE '%.resolved') AS resolved
        FROM event e WHERE e.aggregatetype IN ('alert', 'relay_silent') GROUP BY 1)
    SELECT 'news that an alert was raised', coalesce(a.id, t.alert_id)::text, (a.id IS NOT NULL)::int::numeric,
           coalesce(t.raised, 0)::numeric
    FROM alert a FULL JOIN told t ON t.alert_id = a.id
    WHERE (a.id IS NOT NULL)::int <> coalesce(t.raised, 0)
    UNION ALL
    SELECT 'news that an alert was resolved', a.id::text, (a.resolved_us <> 0)::int::numeric,
           coalesce(t.resolved, 0)::numeric
    FROM alert a LEFT JOIN told t ON t.alert_id = a.id
    WHERE (a.resolved_us <> 0)::int <> coalesce(t.resolved, 0)
    UNION ALL
    SELECT 'open alert of a silent source', s.source, 1, 0
    FROM silence s WHERE s.alert_id <> '00000000-0000-0000-0000-000000000000'
      AND NOT EXISTS (SELECT FROM alert a WHERE a.id = s.alert_id AND a.resolved_us = 0)
    UNION ALL
    SELECT 'notice of an alert', n.key, 1, 0
    FROM notice n WHERE NOT EXISTS (SELECT FROM alert a WHERE a.id = n.alert_id)
$$;
