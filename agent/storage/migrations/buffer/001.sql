-- Records that wait for their recipient. `n` is never used twice: it names an offer on the link.
-- `sealed` stands last, so that a scan of the rest does not read overflow pages.
CREATE TABLE records (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    stream TEXT NOT NULL,
    basis_ref TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    plan_id BLOB NOT NULL,
    recipient TEXT NOT NULL,
    identity TEXT NOT NULL,
    purpose TEXT NOT NULL,
    policy TEXT NOT NULL,
    priority INTEGER NOT NULL,
    destroy_ms INTEGER NOT NULL,
    oldest_ms INTEGER NOT NULL,
    rules TEXT NOT NULL,
    samples INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_turn ON records (priority, n);
CREATE INDEX records_by_key ON records (stream, basis_ref, epoch);
-- `store_epoch` (8 random bytes of this database's birth) and `seq:<stream>` (the last one used; stays when rows go).
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
