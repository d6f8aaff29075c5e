//! What a connection can hold at most, in this process and in the kernel. A pod's limit counts both.

/// What the kernel keeps each way for a connection; it doubles what it is asked for, for its own bookkeeping.
pub(in crate::server) const SOCKET_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of an answer that are made before they are written.
pub(in crate::server) const ANSWER_BUFFER_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::{super::guarded::REQUEST_BYTES_MAX, ANSWER_BUFFER_BYTES, SOCKET_BUFFER_BYTES};
    use crate::{config::Settings, server::ADMIN_CONNECTIONS_MAX};

    /// The connection's task, timers, and the request that was read.
    const TASK_BYTES: usize = 8 * 1024;
    /// The most that one connection holds. A buffer that grows has up to twice the room that it needs.
    const CONNECTION_BYTES: usize =
        2 * REQUEST_BYTES_MAX + 2 * ANSWER_BUFFER_BYTES + 2 * 2 * SOCKET_BUFFER_BYTES + TASK_BYTES;
    /// With TLS, more: a record as it came (18 KiB) and opened (16 KiB), two buffers of an answer sealed, and the keys. A handshake holds
    /// up to 64 KiB of a message, but no request and no answer yet.
    const TLS_BYTES: usize = 64 * 1024;
    const MIB: usize = 1024 * 1024;
    /// What the process holds without connections, while it buys: 11 MiB were measured (`tests/it/door/strangers.rs`, SQLite), and the
    /// rest is in hand.
    const REST_BYTES: usize = 36 * MIB;
    /// What the pod has in memory besides the process: the volume for temporary files.
    const TMP_BYTES: usize = 16 * MIB;
    const POD: &str = include_str!("../../../k8s/base/deployment.yaml");
    const OVERLAYS: [(&str, &str); 3] = [
        ("postgres", include_str!("../../../k8s/overlays/postgres/noshi.toml")),
        ("sandbox", include_str!("../../../k8s/overlays/sandbox/noshi.toml")),
        ("sqlite", include_str!("../../../k8s/overlays/sqlite/noshi.toml")),
    ];

    /// What the manifest says after the last line that ends with `key`.
    fn mebibytes_after(key: &str) -> usize {
        let mut values = POD.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim().strip_suffix("Mi"));
        values.next_back().unwrap().parse::<usize>().unwrap() * MIB
    }

    #[test]
    fn all_connections_together_fit_into_the_pod() {
        let (limit, tmp) = (mebibytes_after("memory:"), mebibytes_after("sizeLimit:"));
        assert_eq!(tmp, TMP_BYTES);
        let of_default = Settings::load(None, []).unwrap().server.connections_max;
        for (name, text) in OVERLAYS {
            let set = text
                .lines()
                .take_while(|line| *line != "[store]")
                .find_map(|line| line.strip_prefix("connections_max = "));
            let connections = set.map_or(of_default, |value| value.trim().parse().unwrap());
            // Both ports have a door.
            let all = (connections + ADMIN_CONNECTIONS_MAX) * CONNECTION_BYTES + REST_BYTES + TMP_BYTES;
            assert!(all < limit, "{name}: {connections} connections hold {all} bytes, and the pod has {limit}");
        }
        let files =
            ["CERTIFICATE", "PRIVATE_KEY"].map(|of| (format!("NOSHI__SERVER__TLS_{of}_FILE"), "/tls".to_owned()));
        let by_tls = Settings::load(None, files).unwrap().server.connections_max;
        assert!(by_tls < of_default, "one of TLS costs more");
        let all = (by_tls + ADMIN_CONNECTIONS_MAX) * CONNECTION_BYTES + by_tls * TLS_BYTES + REST_BYTES + TMP_BYTES;
        assert!(all < limit, "{by_tls} connections by TLS hold {all} bytes, and the pod has {limit}");
    }
}
