-- One row per exchange, with what lists, filters and statistics read. `id` counts in time: milliseconds since
-- the epoch shifted left by 10 bits, the rest tells exchanges of one millisecond apart. So "newest first" is
-- the order of the table itself, and of everything that refers to it.
CREATE TABLE exchange (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL,
    instance TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    outcome TEXT NOT NULL,
    status INTEGER,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    dialect TEXT,
    stream INTEGER NOT NULL,
    provider TEXT,
    model TEXT,
    routed_model TEXT,
    session_id TEXT,
    agent_id TEXT,
    parent_agent_id TEXT,
    conversation_id TEXT,
    side_call TEXT,
    key_name TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cache_read_input_tokens INTEGER,
    cache_creation_input_tokens INTEGER,
    reasoning_tokens INTEGER,
    cost_usd REAL,
    ttft_ms REAL,
    duration_ms REAL,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    truncated INTEGER NOT NULL
);
-- Every index ends in the row's id, so each gives its rows newest first.
CREATE INDEX exchange_request_id ON exchange (request_id) WHERE request_id <> '' AND request_id <> uid;
CREATE INDEX exchange_model ON exchange (model);
CREATE INDEX exchange_provider ON exchange (provider);
CREATE INDEX exchange_outcome ON exchange (outcome) WHERE outcome <> 'ok';
CREATE INDEX exchange_session ON exchange (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX exchange_agent ON exchange (agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX exchange_conversation ON exchange (conversation_id) WHERE conversation_id IS NOT NULL;

-- The whole record (JSON, compressed), apart so that the table above stays narrow.
CREATE TABLE record (
    exchange INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Parts of request bodies, each content once.
CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    data BLOB NOT NULL
);

-- A body is a manifest of part ids with the glue between them. which: 0 the caller's, 1 the one sent
-- upstream, 2 the caller's with its content coding undone.
-- A lineage is a row of bodies each of which is much like the one before it.
CREATE TABLE body (
    exchange INTEGER NOT NULL,
    which INTEGER NOT NULL,
    lineage INTEGER NOT NULL,
    position INTEGER NOT NULL,
    manifest BLOB NOT NULL,
    PRIMARY KEY (exchange, which)
) WITHOUT ROWID;
CREATE UNIQUE INDEX body_lineage ON body (lineage, position);

-- The bodies of a lineage from position `first` up to but not including `last` refer to the part.
-- So a session of n messages needs n rows and not n²/2.
CREATE TABLE span (
    lineage INTEGER NOT NULL,
    part INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (lineage, part, first)
) WITHOUT ROWID;
CREATE INDEX span_part ON span (part);

-- Answers: pieces with their times. side: 0 as sent to the caller, 1 as received where that differs.
CREATE TABLE answer (
    exchange INTEGER NOT NULL,
    side INTEGER NOT NULL,
    pieces BLOB NOT NULL,
    PRIMARY KEY (exchange, side)
);

-- Pieces of exchanges that are still running, one row per journal segment.
CREATE TABLE partial (
    uid TEXT NOT NULL,
    segment INTEGER NOT NULL,
    side INTEGER NOT NULL,
    pieces BLOB NOT NULL,
    PRIMARY KEY (uid, segment, side)
) WITHOUT ROWID;

-- The finished message (JSON, compressed), and which parts' text stands in the search index beside the message's.
CREATE TABLE finished (
    exchange INTEGER PRIMARY KEY,
    message BLOB,
    indexed BLOB NOT NULL
);

CREATE TABLE tool (
    name TEXT NOT NULL,
    exchange INTEGER NOT NULL,
    PRIMARY KEY (name, exchange)
) WITHOUT ROWID;
CREATE INDEX tool_exchange ON tool (exchange);

-- rowid is the exchange's id. Holds no text of its own: what is deleted is handed in again from the parts.
CREATE VIRTUAL TABLE search USING fts5 (text, content = '', tokenize = 'unicode61 remove_diacritics 2');

-- generation: counts deletions, so that a process knows when what it remembers may be gone.
-- exchanges: how many rows there are, as counting them takes too long for each page.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 0), ('exchanges', 0), ('text_version', 1);
