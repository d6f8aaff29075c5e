//! What is watched: the metrics page, and what the real Prometheus, our alerts and our dashboards make of it.

mod cut_off;
mod files;
mod live;
mod operator;
mod page;
mod prometheus;
