-- Sealed, hash-chained entries (docs/formats.md sections 5 and 6). Nothing in here is ever updated.
CREATE TABLE ledger (
    n INTEGER PRIMARY KEY,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
-- `key` keeps a disclosure from being entered twice; `day` (days since the epoch) lets old ones be thinned out.
CREATE TABLE audit (
    n INTEGER PRIMARY KEY,
    key TEXT UNIQUE,
    entry BLOB NOT NULL,
    hash BLOB NOT NULL,
    day INTEGER
) STRICT;
CREATE INDEX audit_by_day ON audit (day);
-- Small things that have to survive a restart: the trip, last values, trim zones.
CREATE TABLE memory (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
