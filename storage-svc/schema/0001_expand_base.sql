-- The database of storage-svc. Idempotent, for databases of before steps had numbers.
\ir ../../mesh/store/mesh.sql

CREATE TABLE IF NOT EXISTS product (
    sku              text   COLLATE "C" NOT NULL PRIMARY KEY,
    currency         text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    unit_price_minor bigint NOT NULL CHECK (unit_price_minor >= 0),
    on_hand          bigint NOT NULL,
    free             bigint NOT NULL CHECK (free >= 0),
    held             bigint NOT NULL CHECK (held >= 0),
    sold             bigint NOT NULL CHECK (sold >= 0),
    CHECK (on_hand = free + held + sold)
) WITH (fillfactor = 80);

-- A hold is the record of its Reserve. state: 0 refused, 1 held, 2 confirmed, 3 released, 4 expired.
-- lines: one a line, "quantity unit_price_minor sku".
CREATE TABLE IF NOT EXISTS hold (
    id          uuid   NOT NULL PRIMARY KEY,
    fingerprint bigint NOT NULL, -- 0: a tombstone
    reason      text   NOT NULL,
    detail      text   NOT NULL,
    state       int    NOT NULL CHECK (state BETWEEN 0 AND 4),
    reference   text   NOT NULL,
    lines       text   NOT NULL,
    currency    text   NOT NULL,
    total_minor bigint NOT NULL CHECK (total_minor >= 0),
    until_us    bigint NOT NULL
) PARTITION BY RANGE (id);
-- The expiry sweep walks this; `until_us` hardly ever changes, so a change of state stays HOT.
CREATE INDEX IF NOT EXISTS hold_by_until ON hold (until_us);
SELECT mesh_partitions_keep('hold', 80);

INSERT INTO sweep (name) VALUES ('expire') ON CONFLICT DO NOTHING;

-- The audit: what disagrees, with the stored and the recomputed number. No rows: all is well. It looks at
-- all rows, so plans that services pin are not for it. Holds that were sold are dropped with their
-- partition after some weeks: once that has begun, the holds that are kept are a part of what was sold.
DROP FUNCTION IF EXISTS stock_check();
CREATE FUNCTION stock_check()
RETURNS TABLE (what text, key text, stored numeric, computed numeric)
LANGUAGE sql STABLE
SET enable_seqscan = on SET enable_hashjoin = on SET enable_mergejoin = on SET plan_cache_mode = auto
AS $$
    WITH line AS (
        SELECT h.state, split_part(l.line, ' ', 1)::bigint AS quantity, split_part(l.line, ' ', 3) AS sku
        FROM hold h, regexp_split_to_table(rtrim(h.lines, E'\n'), E'\n') AS l(line)
        WHERE h.state IN (1, 2)),
    summed AS (
        SELECT sku, coalesce(sum(quantity) FILTER (WHERE state = 1), 0) AS held,
               coalesce(sum(quantity) FILTER (WHERE state = 2), 0) AS sold
        FROM line GROUP BY sku)
    SELECT 'on hand of a product', p.sku, p.on_hand, p.free + p.held + p.sold
    FROM product p WHERE p.on_hand <> p.free + p.held + p.sold
    UNION ALL
    SELECT 'held of a product', coalesce(p.sku, s.sku), p.held, coalesce(s.held, 0)
    FROM product p FULL JOIN summed s ON s.sku = p.sku
    WHERE p.held IS DISTINCT FROM coalesce(s.held, 0)
    UNION ALL
    SELECT 'sold of a product', coalesce(p.sku, s.sku), p.sold, coalesce(s.sold, 0)
    FROM product p FULL JOIN summed s ON s.sku = p.sku
    WHERE p.sold IS NULL OR p.sold < s.sold
       OR (p.sold > coalesce(s.sold, 0) AND NOT EXISTS (SELECT FROM partition_floor WHERE parent = 'hold'))
$$;
