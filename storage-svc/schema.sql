-- The database of storage-svc. Idempotent: applied at every deployment.
\ir ../mesh/store/mesh.sql

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
