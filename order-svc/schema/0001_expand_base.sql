-- The database of order-svc. Idempotent, for databases of before steps had numbers.
\ir ../../mesh/store/mesh.sql

-- An order is the record of its Place, and the projection of its events. Never dropped, so it is not
-- partitioned. status: 1 pending, 2 waiting for payment, 3 paid, 4 failed.
-- lines: one a line, "quantity sku".
CREATE TABLE IF NOT EXISTS orders (
    id                uuid    NOT NULL PRIMARY KEY,
    fingerprint       bigint  NOT NULL,
    reason            text    NOT NULL, -- of the record: '' accepted
    detail            text    NOT NULL,
    customer_id       text    COLLATE "C" NOT NULL,
    currency          text    NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    lines             text    NOT NULL,
    status            int     NOT NULL CHECK (status BETWEEN 1 AND 4),
    version           int     NOT NULL CHECK (version > 0),
    total_minor       bigint  NOT NULL CHECK (total_minor >= 0),
    failure_reason    text    NOT NULL,
    failure_detail    text    NOT NULL,
    cancel_wanted     boolean NOT NULL,
    placed_at_us      bigint  NOT NULL,
    changed_at_us     bigint  NOT NULL,
    flow              text    NOT NULL,
    payment_method    text    NOT NULL,
    payment_reference text    NOT NULL,
    CHECK ((status = 4) = (failure_reason <> ''))
) WITH (fillfactor = 80);
-- Of an external payment; '' and 0 for the wallet. The last three are known once it is waiting.
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS provider              text   NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS return_url            text   NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS payment_id            text   NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS payment_url           text   NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS payment_expires_at_us bigint NOT NULL DEFAULT 0;
-- Of the request that placed it: its saga has the same, also one that is asked for days later.
ALTER TABLE orders ADD COLUMN IF NOT EXISTS traceparent text NOT NULL DEFAULT '';
-- The order of arrival: the sweep walks it, and lists are in it, the newest first. Not the id: a caller may
-- place an order under an id it made days ago. Not a time either: a clock that steps back would put new orders
-- behind those that were looked at. A data-only restore leaves the sequence behind; it is put right here.
CREATE SEQUENCE IF NOT EXISTS order_seq;
ALTER TABLE orders ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT nextval('order_seq');
-- Neither mentions a column that a change of the order changes, so updates stay HOT.
CREATE UNIQUE INDEX IF NOT EXISTS orders_by_seq ON orders (seq);
CREATE INDEX IF NOT EXISTS orders_by_customer_and_seq ON orders (customer_id, seq);
SELECT setval('order_seq', max(seq)) FROM orders
HAVING max(seq) > (SELECT last_value FROM order_seq);
-- The sweep's horizon waits for those that insert orders, as the relay's does for those that write events.
CREATE OR REPLACE TRIGGER order_write BEFORE INSERT ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION mesh_event_write();
DROP INDEX IF EXISTS orders_by_placed_at, orders_by_customer;

-- Idempotency-Keys of HTTP requests, claimed in the transaction that places the order. http_status 0:
-- not answered yet. key: scope, unit separator, the stranger's key.
--
-- Kept for 24 hours, then deleted by a task in portions of 500 along idempotency_by_created_at. Not
-- partitioned by day: a key must be unique over all days, which no primary key of a table partitioned
-- by time can say, so each Place would have to look into two partitions and lock the key by other
-- means. A delete costs a few microseconds, of the keys of yesterday only, beside the hot path; and it
-- decides nothing, so it need not be an op: a Place that comes while its key goes finds it or not.
-- Room on the page for the answer, so that storing it stays HOT: no index has a column that changes.
CREATE TABLE IF NOT EXISTS idempotency (
    key             text   COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint     bytea  NOT NULL,
    order_id        uuid   NOT NULL,
    claimed_by      uuid   NOT NULL, -- the Place that claimed it last
    locked_until_us bigint NOT NULL,
    http_status     int    NOT NULL CHECK (http_status = 0 OR http_status BETWEEN 200 AND 599),
    body            bytea  NOT NULL,
    created_at_us   bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS idempotency_by_created_at ON idempotency (created_at_us);

-- All orders up to the floor, a seq, are final.
INSERT INTO sweep (name) VALUES ('start') ON CONFLICT DO NOTHING;

-- The audit: orders whose row is not what their events add up to. No rows: all is well. It looks at all
-- rows, so plans that services pin are not for it.
DROP FUNCTION IF EXISTS order_check();
CREATE FUNCTION order_check()
RETURNS TABLE (what text, key text, stored numeric, computed numeric)
LANGUAGE sql STABLE
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET plan_cache_mode = auto
AS $$
    WITH story AS (
        SELECT aggregateid AS id, count(*) AS events, min(version) AS first, max(version) AS last
        FROM event WHERE aggregatetype = 'order' GROUP BY aggregateid),
    ending AS (
        SELECT s.id, e.payload::json AS payload
        FROM story s JOIN event e ON e.aggregateid = s.id AND e.version = s.last)
    SELECT 'version of an order', coalesce(o.id, s.id)::text, o.version, s.last
    FROM orders o FULL JOIN story s ON s.id = o.id WHERE o.version IS DISTINCT FROM s.last
    UNION ALL
    SELECT 'events of an order', s.id::text, s.events, s.last - s.first + 1
    FROM story s WHERE s.events <> s.last OR s.first <> 1
    UNION ALL
    SELECT 'status of an order', o.id::text, o.status,
           array_position(ARRAY['PENDING', 'WAITING_PAYMENT', 'PAID', 'FAILED'], e.payload ->> 'status')
    FROM orders o JOIN ending e ON e.id = o.id
    WHERE o.status IS DISTINCT FROM
          array_position(ARRAY['PENDING', 'WAITING_PAYMENT', 'PAID', 'FAILED'], e.payload ->> 'status')
    UNION ALL
    SELECT 'total of an order', o.id::text, o.total_minor, (e.payload ->> 'totalMinor')::bigint
    FROM orders o JOIN ending e ON e.id = o.id
    WHERE o.total_minor IS DISTINCT FROM (e.payload ->> 'totalMinor')::bigint
$$;
