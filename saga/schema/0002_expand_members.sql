-- Orchestrators share the work by shard: a database in which no saga was ever begun has four, unless the number was said
-- (journal.sql).
INSERT INTO journal_shard (shard)
SELECT generate_series(1, 3) WHERE coalesce(current_setting('mesh.shards', true), '') = ''
    AND NOT EXISTS (SELECT FROM journal_shard WHERE epoch > 0) ON CONFLICT DO NOTHING;

-- The orchestrators that live (saga/members.h): beat grows each second.
CREATE TABLE saga_member (
    member  uuid   NOT NULL PRIMARY KEY,
    address text   NOT NULL, -- of its inner port, for the others
    beat    bigint NOT NULL
);

-- Which of them has a shard: who is asked about its sagas. The journal's epoch says who may write.
CREATE TABLE saga_lease (
    shard  int  NOT NULL PRIMARY KEY,
    member uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000' -- nobody
);
INSERT INTO saga_lease (shard) SELECT shard FROM journal_shard;
