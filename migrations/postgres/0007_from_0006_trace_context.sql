-- The request that a reward came from, as a W3C traceparent: its trace, our span in it, whether they are recorded. What is
-- done for the reward later, and its caller's retries, are linked to it.
ALTER TABLE rewards ADD COLUMN trace_context TEXT CHECK (trace_context ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$');
