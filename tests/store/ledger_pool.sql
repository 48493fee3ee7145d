-- The database of a program that links the ledger and nothing else of account-svc (test_ledger_pool.c).
\ir ../../mesh/store/mesh.sql
\ir ../../account-svc/ledger/ledger.sql
