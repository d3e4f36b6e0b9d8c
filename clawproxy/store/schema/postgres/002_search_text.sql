-- An index entry with its places (tsvector) takes more room than the text it was made of, and is not compressed: the words
-- themselves are kept, what they are found by is computed, and of the words in their order, which a phrase needs, only the
-- rows are looked at that have all of them.
--
-- What it costs is overstated, so that the planner takes the index. With its own search_path the function is not dissolved
-- into the statement, which would lose that.
CREATE FUNCTION words_of(text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT COST 100000 SET search_path = pg_catalog
    AS $$ SELECT to_tsvector('simple', $1) $$;

-- This computes for as long as there are rows.
SET LOCAL statement_timeout = 0;
CREATE TABLE search_text (
    exchange bigint PRIMARY KEY,
    text text NOT NULL
);
INSERT INTO search_text
    SELECT exchange, (
        SELECT string_agg(lexeme, ' ' ORDER BY place) FROM unnest(words) AS word, unnest(word.positions) AS place
    ) FROM search WHERE length(words) > 0;
-- What a byte of a blob takes on disk (001) was measured with the table that goes. Left as it is, disk that holds nothing would
-- pass for used, and retention would delete more for it.
UPDATE meta SET value = value - pg_total_relation_size('search') * 1000
        / greatest(1, (SELECT value FROM meta WHERE name = 'bytes'))
    WHERE name = 'per_mille' AND (SELECT value FROM meta WHERE name = 'deleted') <> 0;
DROP TABLE search;
ALTER TABLE search_text RENAME TO search;
ALTER INDEX search_text_pkey RENAME TO search_pkey;
-- What is new waits in a list that each search has to read, and that keeps its place on disk: 4 MB of it by default,
-- which is several times what the words of a long session take.
CREATE INDEX search_words ON search USING gin (words_of(text)) WITH (gin_pending_list_limit = 64);
-- A planner that knows of a word that is everywhere reads all rows for it, and computes the words of each, which takes minutes.
-- Without statistics it takes every word for a rare one, and the index. Nor is there a reason to sample long texts.
ALTER INDEX search_words ALTER COLUMN 1 SET STATISTICS 0;
ALTER TABLE search ALTER text SET STATISTICS 0;
UPDATE meta SET value = greatest(1, value + pg_total_relation_size('search') * 1000
        / greatest(1, (SELECT value FROM meta WHERE name = 'bytes')))
    WHERE name = 'per_mille' AND (SELECT value FROM meta WHERE name = 'deleted') <> 0;
