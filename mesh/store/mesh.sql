-- What every service's database has: weekly partitions by an id's own time, the records of ops, and
-- the table of events. Idempotent; included by the first step of each service, and therefore done: what changes is
-- another file, and a step of each service (CONTRIBUTING.md).
--
-- Updates stay HOT (fillfactor 80) as long as no index mentions a column that a hot update changes,
-- not even in its WHERE. Nobody runs ANALYZE or VACUUM on an empty table or a new partition: a plan
-- pinned on "empty" scans the whole key.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

-- The smallest UUIDv7 of a time.
CREATE OR REPLACE FUNCTION mesh_uuid_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-0000-0000-000000000000')::uuid
    FROM (SELECT lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') AS ms) AS hex
$$;

-- The time in a UUIDv7 (or v8 of ours).
CREATE OR REPLACE FUNCTION mesh_uuid_time(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT to_timestamp(('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0)
$$;

-- Weeks of a table that began before `week` and have no partition were dropped: their records are
-- forgotten, so they must never be made again, or what was done once would be done twice.
CREATE TABLE IF NOT EXISTS partition_floor (
    parent text        NOT NULL PRIMARY KEY,
    week   timestamptz NOT NULL
);

-- The time to go by: the database's, while it agrees with the program's (mesh/store/store_clock.h).
CREATE OR REPLACE FUNCTION mesh_now_us(program_us bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN abs(now_us - program_us) <= 1000000 THEN now_us ELSE program_us END
    FROM (SELECT (extract(epoch FROM now()) * 1000000)::bigint AS now_us) AS clock
$$;

-- Makes the weekly partitions of a table that cover a span of time. Rows that are updated want fill 80,
-- append-only ones 100. Attaching a table that was made
-- apart takes a weak lock, so that it can be done while the service works.
CREATE OR REPLACE FUNCTION mesh_partitions_make(parent text, since timestamptz, until timestamptz, fill int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    floor timestamptz := (SELECT f.week FROM partition_floor f WHERE f.parent = mesh_partitions_make.parent);
    week timestamptz := date_trunc('week', since AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    part text;
    made int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mesh partitions')); -- replicas make them one after the other
    WHILE week < until LOOP
        part := parent || to_char(week AT TIME ZONE 'UTC', '"_"IYYY"w"IW');
        IF to_regclass(part) IS NULL AND (floor IS NULL OR week >= floor) THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = %s)', part, parent, fill);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
                           mesh_uuid_floor(week), mesh_uuid_floor(week + interval '7 days'));
            made := made + 1;
        END IF;
        week := week + interval '7 days';
    END LOOP;
    RETURN made;
END $$;

-- The partitions that rule 1 asks for: those of the last 45 days and of the next two weeks, by the
-- database's clock and by the program's (NULL: none), which makes ids.
DROP FUNCTION IF EXISTS mesh_partitions_keep(text, int);
CREATE OR REPLACE FUNCTION mesh_partitions_keep(parent text, fill int, program_us bigint DEFAULT NULL)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    here timestamptz;
    made int := 0;
BEGIN
    FOREACH here IN ARRAY ARRAY[now(), coalesce(to_timestamp(program_us / 1000000.0), now())] LOOP
        made := made + mesh_partitions_make(parent, here - interval '46 days', here + interval '15 days', fill);
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions that ended more than 46 days ago, unless a row in them is still open: `open` is
-- a condition on its rows ('false' where nothing ever is). A row of the table `pinned_by`
-- (NULL: none) will end in the partition of its id, and keeps that too. Old is what the database's clock,
-- the program's and the newest id of the table all call old: one wrong clock drops nothing.
-- Detaching waits for every transaction that uses the table, and all others wait behind it: shortly, or
-- it is tried again later.
DROP FUNCTION IF EXISTS mesh_partitions_drop(text, text);
DROP FUNCTION IF EXISTS mesh_partitions_drop(text, text, text);
CREATE OR REPLACE FUNCTION mesh_partitions_drop(parent text, open text, pinned_by text, program_us bigint)
RETURNS int LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    key text := (SELECT a.attname FROM pg_partitioned_table t JOIN pg_attribute a
                 ON a.attrelid = t.partrelid AND a.attnum = t.partattrs[0] WHERE t.partrelid = parent::regclass);
    newest uuid;
    part record;
    is_open boolean;
    dropped int := 0;
BEGIN
    EXECUTE format('SELECT %I FROM %I ORDER BY %I DESC LIMIT 1', key, parent, key) INTO newest;
    FOR part IN
        -- First the partitions and then their weeks: else names of other tables may be read as weeks.
        WITH names AS MATERIALIZED (
            SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = parent::regclass)
        SELECT name, week AT TIME ZONE 'UTC' AS week, mesh_uuid_floor(week AT TIME ZONE 'UTC') AS first,
               mesh_uuid_floor((week + interval '7 days') AT TIME ZONE 'UTC') AS after_last
        FROM (SELECT name, to_date(right(name, 7), 'IYYY"w"IW')::timestamp AS week FROM names) AS weeks
        WHERE week + interval '7 days' < (least(now(), to_timestamp(program_us / 1000000.0),
                                                mesh_uuid_time(newest)) AT TIME ZONE 'UTC') - interval '46 days'
          AND newest IS NOT NULL
        ORDER BY week
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE %s)', part.name, open) INTO is_open;
        IF NOT is_open AND pinned_by IS NOT NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE id >= %L AND id < %L)', pinned_by,
                           part.first, part.after_last) INTO is_open;
        END IF;
        IF NOT is_open THEN
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part.name);
            EXECUTE format('DROP TABLE %I', part.name);
            INSERT INTO partition_floor AS f VALUES (mesh_partitions_drop.parent, part.week + interval '7 days')
            ON CONFLICT ON CONSTRAINT partition_floor_pkey DO UPDATE SET week = greatest(f.week, excluded.week);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;

-- The record of an op that makes no row of its own: written once, with its decision.
CREATE TABLE IF NOT EXISTS op (
    id          uuid   NOT NULL PRIMARY KEY,
    fingerprint bigint NOT NULL,
    reason      text   NOT NULL, -- '' accepted
    detail      text   NOT NULL,
    method      text   NOT NULL
) PARTITION BY RANGE (id);
SELECT mesh_partitions_keep('op', 100);

-- How far each sweep of the service has come, by time or by the numbers of a sequence; its schema
-- inserts the rows.
CREATE TABLE IF NOT EXISTS sweep (
    name     text   COLLATE "C" NOT NULL PRIMARY KEY,
    floor_us bigint NOT NULL DEFAULT 0
);
ALTER TABLE sweep
    ALTER COLUMN floor_us SET DEFAULT 0,
    ADD COLUMN IF NOT EXISTS floor_seq bigint NOT NULL DEFAULT 0;

-- A row of each program, which its keeper writes now and then to see whether it can.
CREATE TABLE IF NOT EXISTS write_try (
    name  text   NOT NULL PRIMARY KEY,
    at_us bigint NOT NULL
) WITH (fillfactor = 50);

-- Append-only news, in the order of seq; per aggregate in the order of version.
CREATE SEQUENCE IF NOT EXISTS event_seq;
CREATE TABLE IF NOT EXISTS event (
    seq           bigint NOT NULL DEFAULT nextval('event_seq'),
    id            uuid   NOT NULL,
    aggregatetype text   NOT NULL,
    aggregateid   uuid   NOT NULL,
    version       int    NOT NULL CHECK (version > 0),
    type          text   NOT NULL,
    payload       text   NOT NULL,
    time_us       bigint NOT NULL,
    traceparent   text   NOT NULL,
    PRIMARY KEY (aggregateid, version)
) PARTITION BY RANGE (aggregateid);
CREATE INDEX IF NOT EXISTS event_by_seq ON event (seq);
SELECT mesh_partitions_keep('event', 100);

-- Who writes events holds a lock until its transaction has ended: the relay waits for it. Batches take it
-- before; this is for all other writers.
CREATE OR REPLACE FUNCTION mesh_event_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1296388936, 1);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER event_write BEFORE INSERT ON event
    FOR EACH STATEMENT EXECUTE FUNCTION mesh_event_write();

-- The time of an event whose writer took it before the lock: a heartbeat may have passed it by. It is asked for once the
-- lock is there. A clock that is ahead by more than an hour is not believed.
CREATE OR REPLACE FUNCTION mesh_event_us(program_us bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN now_us - program_us BETWEEN 0 AND 3600000000 THEN now_us ELSE program_us END
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us) AS clock
$$;

-- How far a relay has sent them: everything up to seq has been acknowledged.
CREATE TABLE IF NOT EXISTS event_cursor (
    name text   NOT NULL PRIMARY KEY,
    seq  bigint NOT NULL
);
INSERT INTO event_cursor VALUES ('kafka', 0) ON CONFLICT DO NOTHING;
