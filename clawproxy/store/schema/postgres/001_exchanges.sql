-- As schema/sqlite/001_exchanges.sql, where the reasons stand; here is what differs.
CREATE TABLE exchange (
    id bigint PRIMARY KEY,
    uid text NOT NULL UNIQUE,
    request_id text NOT NULL,
    instance text NOT NULL,
    started_ms bigint NOT NULL,
    finished_ms bigint,
    outcome text NOT NULL,
    status integer,
    method text NOT NULL,
    path text NOT NULL,
    dialect text,
    stream smallint NOT NULL,
    provider text,
    model text,
    routed_model text,
    session_id text,
    agent_id text,
    parent_agent_id text,
    conversation_id text,
    side_call text,
    key_name text,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    reasoning_tokens bigint,
    cost_usd double precision,
    ttft_ms double precision,
    duration_ms double precision,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    truncated smallint NOT NULL
);
-- Unlike SQLite's, these indexes do not end in the table's key by themselves.
CREATE INDEX exchange_request_id ON exchange (request_id) WHERE request_id <> '' AND request_id <> uid;
CREATE INDEX exchange_model ON exchange (model, id);
CREATE INDEX exchange_provider ON exchange (provider, id);
CREATE INDEX exchange_outcome ON exchange (outcome, id) WHERE outcome <> 'ok';
CREATE INDEX exchange_session ON exchange (session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX exchange_agent ON exchange (agent_id, id) WHERE agent_id IS NOT NULL;
CREATE INDEX exchange_conversation ON exchange (conversation_id, id) WHERE conversation_id IS NOT NULL;

-- Blobs are compressed already: PostgreSQL need not try again.
CREATE TABLE record (
    exchange bigint PRIMARY KEY,
    data bytea NOT NULL
);
ALTER TABLE record ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE part (
    id bigint PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    data bytea NOT NULL
);
ALTER TABLE part ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE body (
    exchange bigint NOT NULL,
    which smallint NOT NULL,
    lineage bigint NOT NULL,
    position integer NOT NULL,
    manifest bytea NOT NULL,
    PRIMARY KEY (exchange, which)
);
CREATE UNIQUE INDEX body_lineage ON body (lineage, position);

CREATE TABLE span (
    lineage bigint NOT NULL,
    part bigint NOT NULL,
    first integer NOT NULL,
    last integer NOT NULL,
    PRIMARY KEY (lineage, part, first)
);
CREATE INDEX span_part ON span (part);

CREATE TABLE answer (
    exchange bigint NOT NULL,
    side smallint NOT NULL,
    pieces bytea NOT NULL,
    PRIMARY KEY (exchange, side)
);
ALTER TABLE answer ALTER COLUMN pieces SET STORAGE EXTERNAL;

CREATE TABLE partial (
    uid text NOT NULL,
    segment integer NOT NULL,
    side smallint NOT NULL,
    pieces bytea NOT NULL,
    PRIMARY KEY (uid, segment, side)
);

CREATE TABLE finished (
    exchange bigint PRIMARY KEY,
    message bytea,
    indexed bytea NOT NULL
);

CREATE TABLE tool (
    name text NOT NULL,
    exchange bigint NOT NULL,
    PRIMARY KEY (name, exchange)
);
CREATE INDEX tool_exchange ON tool (exchange);

CREATE TABLE search (
    exchange bigint PRIMARY KEY,
    words tsvector NOT NULL
);
-- What is new waits in a list that each search has to read, and that keeps its place on disk: 4 MB of it by default,
-- which is several times what the words of a long session take. Merged in more often, it costs no more time.
CREATE INDEX search_words ON search USING gin (words) WITH (gin_pending_list_limit = 256);

-- bytes: of all blobs that are there; per_mille: how many bytes of disk 1,000 of them take when nothing has been
-- deleted; deleted: whether anything was since that was measured. Together they tell how much of the disk holds
-- nothing: PostgreSQL's own tables do not say, and a deletion alone never makes them smaller.
CREATE TABLE meta (
    name text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO meta VALUES ('generation', 0), ('exchanges', 0), ('text_version', 1),
    ('bytes', 0), ('per_mille', 0), ('deleted', 0);
