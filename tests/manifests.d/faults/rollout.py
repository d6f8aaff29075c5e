"""Faults of roll-outs, budgets and spreads."""

from breaking import (
    JOB,
    POD,
    POSTGRES,
    SANDBOX,
    SERVER,
    SET,
    SQLITE,
    Row,
    also,
    drop,
    named,
    put,
    setting,
    without,
)

LARGER = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2"}

ROWS: list[Row] = [
    ("two writers of one file", SQLITE, "sqlite_has_one_writer", put(SET, "spec/replicas", 2)),
    (
        "a volume for many pods",
        SQLITE,
        "sqlite_has_one_writer",
        put(SET, "spec/volumeClaimTemplates/0/spec/accessModes", ["ReadWriteMany"]),
    ),
    (
        "a volume for one node",
        SQLITE,
        "sqlite_has_one_writer",
        put(SET, "spec/volumeClaimTemplates/0/spec/accessModes", ["ReadWriteOnce"]),
    ),
    (
        "the data goes with the set",
        SQLITE,
        "sqlite_has_one_writer",
        put(SET, "spec/persistentVolumeClaimRetentionPolicy/whenDeleted", "Delete"),
    ),
    ("two pods during a roll-out", SANDBOX, "sqlite_has_one_writer", put(SERVER, "spec/strategy", {"type": "RollingUpdate"})),
    ("the file beside its volume", SQLITE, "sqlite_lies_on_its_volume", setting("/var/lib/noshi/noshi.db", "/tmp/noshi.db")),
    ("one replica", POSTGRES, "replicas_are_never_all_away", put(SERVER, "spec/replicas", 1)),
    (
        "a replica less during a roll-out",
        POSTGRES,
        "replicas_are_never_all_away",
        put(SERVER, "spec/strategy/rollingUpdate/maxUnavailable", 1),
    ),
    ("no budget", POSTGRES, "replicas_are_never_all_away", without("PodDisruptionBudget/noshi")),
    (
        "a budget of other pods",
        POSTGRES,
        "replicas_are_never_all_away",
        put("PodDisruptionBudget/noshi", "spec/selector/matchLabels/app.kubernetes.io~name", "other"),
    ),
    ("all on one node", POSTGRES, "replicas_are_spread", drop(SERVER, f"{POD}/topologySpreadConstraints")),
    (
        "a spread of other pods",
        POSTGRES,
        "replicas_are_spread",
        put(SERVER, f"{POD}/topologySpreadConstraints/1/labelSelector/matchLabels", {"app": "noshi"}),
    ),
    ("a priority that is not there", POSTGRES, "replicas_are_spread", without("PriorityClass/noshi")),
    ("an autoscaler", POSTGRES, "nothing_scales_by_itself", also({**named("HorizontalPodAutoscaler", "noshi"), **LARGER})),
    (
        "the migration takes calls",
        POSTGRES,
        "selectors_find_the_replicas_only",
        put(JOB, "spec/template/metadata/labels/app.kubernetes.io~component", "server"),
    ),
    (
        "a Service of all pods",
        POSTGRES,
        "selectors_find_the_replicas_only",
        drop("Service/noshi", "spec/selector/app.kubernetes.io~component"),
    ),
    ("a budget for one", SQLITE, "sqlite_has_one_writer", also(named("PodDisruptionBudget", "noshi", spec={"minAvailable": 1}))),
    ("money in a trial", SANDBOX, "sqlite_has_one_writer", setting('sandbox_gateway = "127.0.0.1:8081"', "")),
    ("a Service that is not there", SQLITE, "sqlite_has_one_writer", put(SET, "spec/serviceName", "noshi-headless")),
    ("all may go at once", POSTGRES, "replicas_are_never_all_away", put("PodDisruptionBudget/noshi", "spec/maxUnavailable", 3)),
    (
        "a sick replica holds a drain up",
        POSTGRES,
        "replicas_are_never_all_away",
        drop("PodDisruptionBudget/noshi", "spec/unhealthyPodEvictionPolicy"),
    ),
    ("all in one zone", POSTGRES, "replicas_are_spread", drop(SERVER, f"{POD}/topologySpreadConstraints/0")),
    (
        "two on a node",
        POSTGRES,
        "replicas_are_spread",
        put(SERVER, f"{POD}/topologySpreadConstraints/1/whenUnsatisfiable", "ScheduleAnyway"),
    ),
    (
        "a cordoned node counts",
        POSTGRES,
        "replicas_are_spread",
        drop(SERVER, f"{POD}/topologySpreadConstraints/1/nodeTaintsPolicy"),
    ),
    (
        "a workload of all pods",
        POSTGRES,
        "selectors_find_the_replicas_only",
        drop(SERVER, "spec/selector/matchLabels/app.kubernetes.io~component"),
    ),
]
