-- The request that a reward came from, as a W3C traceparent: its trace, our span in it, whether they are recorded. What is
-- done for the reward later, and its caller's retries, are linked to it.
ALTER TABLE rewards ADD COLUMN trace_context TEXT CHECK (length(trace_context) = 55 AND trace_context GLOB '00-*-*-0[01]' AND substr(trace_context, 4, 32) NOT GLOB '*[^0-9a-f]*' AND substr(trace_context, 36, 1) = '-' AND substr(trace_context, 37, 16) NOT GLOB '*[^0-9a-f]*' AND substr(trace_context, 53, 1) = '-');
