-- The database of the orchestrator. Idempotent, for databases of before steps had numbers.
\ir ../../mesh/store/mesh.sql
\ir ../../mesh/store/journal.sql

-- Every version of a definition that was ever loaded: an instance ends on the bytes it started with.
CREATE TABLE IF NOT EXISTS saga_definition (
    hash         text   NOT NULL PRIMARY KEY, -- SHA-256 of body, hex
    name         text   NOT NULL,
    body         text   NOT NULL,
    stored_at_us bigint NOT NULL
);
