-- Probes: what was asked, and one row for each agent's result. probe_id leads every key and join.

CREATE TABLE probe (
    probe_id text PRIMARY KEY,
    kind text NOT NULL,
    target text NOT NULL DEFAULT '',
    options text NOT NULL DEFAULT '[]',     -- JSON: [[name, value], ...]; a flag's value is empty
    started_ns bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    failures text NOT NULL DEFAULT '[]'     -- JSON: agents without result, and why
);
CREATE INDEX probe_started ON probe (started_ns);

CREATE TABLE probe_result (
    probe_id text NOT NULL,
    agent_key text NOT NULL,
    agent text NOT NULL,                    -- its name then
    kind text NOT NULL,
    target text NOT NULL,
    started_ns bigint NOT NULL,             -- by the agent's own clock
    duration_us bigint NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'warning', 'critical', 'unknown')),
    class text NOT NULL,
    summary text NOT NULL,
    document text NOT NULL,                 -- the entry of the document's "results", as the agent sent it
    PRIMARY KEY (probe_id, agent_key)
);
CREATE INDEX probe_result_target ON probe_result (kind, target, started_ns);
CREATE INDEX probe_result_started ON probe_result (started_ns);
