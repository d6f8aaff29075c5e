//! What is watched: the metrics page, and what Prometheus, alerts and dashboards make of it.

mod page;
