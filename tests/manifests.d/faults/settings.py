"""Faults of stopping, probes, settings and the migration."""

from breaking import (
    JOB,
    MAIN,
    POD,
    POSTGRES,
    SERVER,
    SET,
    SQLITE,
    Row,
    add,
    also,
    drop,
    named,
    put,
    setting,
    without,
)

SMALL_JOB = {"template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "migration", "args": ["migrate"]}]}}}

ROWS: list[Row] = [
    # Stopping, probes, ports, settings.
    (
        "grace period of Kubernetes",
        POSTGRES,
        "grace_is_longer_than_the_drain",
        drop(SERVER, f"{POD}/terminationGracePeriodSeconds"),
    ),
    (
        "grace period one second short",
        SQLITE,
        "grace_is_longer_than_the_drain",
        put(SET, f"{POD}/terminationGracePeriodSeconds", 34),
    ),
    (
        "preStop besides the delay",
        POSTGRES,
        "grace_is_longer_than_the_drain",
        put(SERVER, f"{MAIN}/lifecycle", {"preStop": {"sleep": {"seconds": 15}}}),
    ),
    (
        "longer drain in the settings",
        POSTGRES,
        "grace_is_longer_than_the_drain",
        setting("drain_timeout_seconds = 20", "drain_timeout_seconds = 40"),
    ),
    (
        "drain as short as two calls",
        SQLITE,
        "grace_is_longer_than_the_drain",
        setting("drain_timeout_seconds = 20", "drain_timeout_seconds = 12"),
    ),
    (
        "nobody looks away first",
        POSTGRES,
        "grace_is_longer_than_the_drain",
        setting("drain_delay_seconds = 10", "drain_delay_seconds = 0"),
    ),
    (
        "liveness asks the database",
        POSTGRES,
        "probes_ask_what_they_should",
        put(SERVER, f"{MAIN}/livenessProbe/httpGet/path", "/readyz"),
    ),
    ("liveness on the API", SQLITE, "probes_ask_what_they_should", put(SET, f"{MAIN}/livenessProbe/httpGet/port", "api")),
    ("no readiness", POSTGRES, "probes_ask_what_they_should", drop(SERVER, f"{MAIN}/readinessProbe")),
    ("killed while it migrates", SQLITE, "probes_ask_what_they_should", put(SET, f"{MAIN}/startupProbe/failureThreshold", 10)),
    ("impatient liveness", POSTGRES, "probes_ask_what_they_should", put(SERVER, f"{MAIN}/livenessProbe/failureThreshold", 1)),
    ("API on loopback", POSTGRES, "ports_are_those_of_the_settings", setting("[::]:8080", "127.0.0.1:8080")),
    ("probes by IPv4 alone", SQLITE, "ports_are_those_of_the_settings", setting("[::]:9090", "0.0.0.0:9090")),
    ("another port in the settings", SQLITE, "ports_are_those_of_the_settings", setting(":9090", ":9091")),
    (
        "a variable wins over the file",
        POSTGRES,
        "settings_are_in_one_place",
        put(SERVER, f"{MAIN}/env", [{"name": "NOSHI__SERVER__DRAIN_TIMEOUT_SECONDS", "value": "300"}]),
    ),
    (
        "settings that change in place",
        SQLITE,
        "settings_are_in_one_place",
        lambda bundle: bundle.config_map_of(bundle.server).pop("immutable"),
    ),
    ("a probe without patience", POSTGRES, "probes_ask_what_they_should", drop(SERVER, f"{MAIN}/readinessProbe/timeoutSeconds")),
    ("other settings than those mounted", POSTGRES, "settings_are_in_one_place", put(SERVER, f"{MAIN}/args", ["serve"])),
    (
        "settings mounted elsewhere",
        SQLITE,
        "settings_are_in_one_place",
        put(SET, f"{MAIN}/volumeMounts/settings/mountPath", "/etc/other"),
    ),
    # The migration.
    ("replicas migrate", POSTGRES, "replicas_may_not_change_the_schema", setting("[store]", "[store]\nmigrate_on_start = true")),
    ("nobody migrates", POSTGRES, "replicas_may_not_change_the_schema", without(JOB)),
    (
        "replicas have the migration's role",
        POSTGRES,
        "replicas_may_not_change_the_schema",
        put(JOB, f"{POD}/volumes/database/secret/secretName", "noshi-database"),
    ),
    ("migration without an end", POSTGRES, "replicas_may_not_change_the_schema", drop(JOB, "spec/activeDeadlineSeconds")),
    ("old jobs in the way", POSTGRES, "replicas_may_not_change_the_schema", drop(JOB, "spec/ttlSecondsAfterFinished")),
    ("a job for SQLite", SQLITE, "replicas_may_not_change_the_schema", also(named("Job", "noshi-migration", spec=SMALL_JOB))),
    (
        "a migration that knows more",
        POSTGRES,
        "replicas_may_not_change_the_schema",
        add(JOB, f"{MAIN}/env", {"name": "NOSHI__LOG__FORMAT", "value": "json"}),
    ),
    (
        "the migration counts as a replica",
        POSTGRES,
        "replicas_may_not_change_the_schema",
        put(JOB, "spec/template/metadata/labels/app.kubernetes.io~component", "server"),
    ),
]
