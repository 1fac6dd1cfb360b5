-- Everything that the collector keeps. Times ending in _ns are nanoseconds since the Unix epoch.
-- In the tables that grow with the traffic capture_id leads every key and join, and there is no global sequence:
-- they can be distributed by it unchanged.

CREATE TABLE agent (
    public_key text PRIMARY KEY,            -- Z85
    fingerprint text NOT NULL,
    name text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN ('pending', 'approved', 'revoked')),
    first_seen_ns bigint NOT NULL,
    last_seen_ns bigint NOT NULL,
    address text NOT NULL DEFAULT '',
    software text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX agent_name ON agent (name) WHERE state = 'approved';

CREATE TABLE path (
    name text PRIMARY KEY
);
CREATE TABLE path_vantage (
    path text NOT NULL REFERENCES path ON DELETE CASCADE,
    position smallint NOT NULL,
    vantage text NOT NULL,
    PRIMARY KEY (path, position)
);

CREATE TABLE clock_sample (
    agent_key text NOT NULL,
    at_ns bigint NOT NULL,
    offset_ns bigint NOT NULL,              -- the agent's clock minus the collector's
    error_ns bigint NOT NULL,               -- bound of the offset's error
    PRIMARY KEY (agent_key, at_ns)
);

CREATE TABLE capture (
    capture_id text PRIMARY KEY,
    path text NOT NULL,
    filter text NOT NULL DEFAULT '',
    started_ns bigint NOT NULL,
    duration_ms integer NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'aborted')),
    verdict text NOT NULL DEFAULT '',
    summary text NOT NULL DEFAULT '',
    problem text NOT NULL DEFAULT '',       -- why it failed or was aborted
    document json                           -- as capture run printed it
);
CREATE INDEX capture_started ON capture (started_ns);

CREATE TABLE capture_vantage (
    capture_id text NOT NULL,
    position smallint NOT NULL,             -- in the path, from 0
    vantage text NOT NULL,                  -- agent/interface
    agent_key text NOT NULL DEFAULT '',
    taking_part boolean NOT NULL,
    state text NOT NULL,                    -- as in CaptureProgress
    text text NOT NULL DEFAULT '',
    packets bigint NOT NULL DEFAULT 0,
    kernel_dropped bigint NOT NULL DEFAULT 0,
    started_ns bigint NOT NULL DEFAULT 0,   -- by the vantage point's own clock
    ended_ns bigint NOT NULL DEFAULT 0,
    clock_offset_ns bigint NOT NULL DEFAULT 0,
    clock_error_ns bigint NOT NULL DEFAULT -1,
    PRIMARY KEY (capture_id, position)
);

CREATE TABLE stream (
    capture_id text NOT NULL,
    position smallint NOT NULL,
    epoch bigint NOT NULL,
    stream bigint NOT NULL,
    agent_key text NOT NULL,
    vantage text NOT NULL,
    kind smallint NOT NULL,
    last bigint NOT NULL DEFAULT 0,         -- the watermark: all batches up to it are stored
    closed bigint,                          -- number of the stream's last batch, once the agent has said so
    PRIMARY KEY (capture_id, position, epoch, stream)
) WITH (fillfactor = 50);                   -- room for the watermark's updates in the page

CREATE TABLE batch (
    capture_id text NOT NULL,
    position smallint NOT NULL,
    epoch bigint NOT NULL,
    stream bigint NOT NULL,
    number bigint NOT NULL,
    records integer NOT NULL,
    payload bytea NOT NULL,                 -- compressed columns, as they arrived
    PRIMARY KEY (capture_id, position, epoch, stream, number)
);
ALTER TABLE batch ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE TABLE flow (
    capture_id text NOT NULL,
    flow integer NOT NULL,
    client text NOT NULL,
    server text NOT NULL,
    app text NOT NULL,
    PRIMARY KEY (capture_id, flow)
);

CREATE TABLE segment (
    capture_id text NOT NULL,
    position smallint NOT NULL,
    direction text NOT NULL,
    from_vantage text NOT NULL,
    to_vantage text NOT NULL,
    kind text NOT NULL,
    packets bigint NOT NULL,
    bytes bigint NOT NULL,
    lost_packets bigint NOT NULL,
    lost_bytes bigint NOT NULL,
    unknown_packets bigint NOT NULL,
    PRIMARY KEY (capture_id, position, direction)
);

CREATE TABLE finding (
    capture_id text NOT NULL,
    position smallint NOT NULL,             -- worst first, from 0
    code text NOT NULL,
    from_vantage text NOT NULL,
    to_vantage text NOT NULL,
    direction text NOT NULL,
    pattern text,
    size_over integer,
    lost_packets bigint,
    lost_bytes bigint,
    share double precision,
    confidence double precision,
    flows integer[] NOT NULL DEFAULT '{}',
    summary text NOT NULL DEFAULT '',
    next_step text NOT NULL DEFAULT '',
    PRIMARY KEY (capture_id, position)
);
