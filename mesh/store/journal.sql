-- What keeps state machines alive over crashes: pages of records per shard, and rows of instances that
-- pin no page. Idempotent; included by the first step of those that use mesh/store/journal (see mesh.sql).

-- One row a shard; the epoch fences a stale owner. The number of shards is fixed when the database is
-- made: `PGOPTIONS='-c mesh.shards=4' saga-svc --migrate=expand ...`.
CREATE TABLE IF NOT EXISTS journal_shard (
    shard      int    NOT NULL PRIMARY KEY,
    epoch      bigint NOT NULL DEFAULT 0,
    owner      uuid   NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    floor_page bigint NOT NULL DEFAULT 1 -- the oldest page that an instance in memory needs
);
-- The owner's time when pages were deleted last: no deleted page and no row of its time is of a later one.
ALTER TABLE journal_shard ADD COLUMN IF NOT EXISTS now_us bigint NOT NULL DEFAULT 0;
INSERT INTO journal_shard (shard)
SELECT generate_series(0, coalesce(nullif(current_setting('mesh.shards', true), '')::int, 1) - 1)
WHERE NOT EXISTS (SELECT FROM journal_shard);

-- A tick is a page: one JSON record a line. Compression would cost more than the space is worth.
CREATE TABLE IF NOT EXISTS journal_page (
    shard int    NOT NULL,
    page  bigint NOT NULL,
    epoch bigint NOT NULL,
    body  text   NOT NULL,
    PRIMARY KEY (shard, page)
);
ALTER TABLE journal_page ALTER COLUMN body SET STORAGE EXTERNAL;

-- An instance that waits: the whole of it, folded up to a page.
CREATE TABLE IF NOT EXISTS journal_parked (
    id          uuid   NOT NULL PRIMARY KEY,
    shard       int    NOT NULL,
    page        bigint NOT NULL,
    fingerprint bigint NOT NULL, -- of its start
    next_us     bigint NOT NULL, -- when to look at it again; 0: only an event helps
    phase       text   NOT NULL,
    body        text   NOT NULL
);
-- In the order of arrival.
ALTER TABLE journal_parked ADD COLUMN IF NOT EXISTS place bigint NOT NULL DEFAULT 0;

-- For its owner's metrics: of a saga its definition.
ALTER TABLE journal_parked ADD COLUMN IF NOT EXISTS kind text;

-- An instance that ended: what is shown of it, and what a repeated start is compared with.
CREATE TABLE IF NOT EXISTS journal_final (
    id          uuid   NOT NULL PRIMARY KEY,
    shard       int    NOT NULL,
    fingerprint bigint NOT NULL,
    phase       text   NOT NULL,
    body        text   NOT NULL
) PARTITION BY RANGE (id);
-- In the order of ending, by which they are listed.
ALTER TABLE journal_final ADD COLUMN IF NOT EXISTS place bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS journal_final_by_place ON journal_final (shard, place);
SELECT mesh_partitions_keep('journal_final', 100);
