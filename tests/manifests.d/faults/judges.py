"""Faults for the judges that nobody here wrote: the schemas, the program and the scanner."""

from breaking import (
    JOB,
    MAIN,
    POD,
    POSTGRES,
    SANDBOX,
    SERVER,
    SET,
    SQLITE,
    Row,
    drop,
    put,
    rename,
    setting,
)

ROWS: list[Row] = [
    # The schemas.
    ("security context misspelt", POSTGRES, "schema", rename(SERVER, f"{MAIN}/securityContext", "secrityContext")),
    ("probe misspelt", POSTGRES, "schema", rename(SERVER, f"{MAIN}/livenessProbe", "livelinessProbe")),
    ("replicas in words", POSTGRES, "schema", put(SERVER, "spec/replicas", "three")),
    ("kind misspelt", POSTGRES, "schema", put("PodDisruptionBudget/noshi", "kind", "PodDisruptionBuget")),
    ("no selector", SQLITE, "schema", drop(SET, "spec/selector")),
    ("grace period in the container", SQLITE, "schema", put(SET, f"{MAIN}/terminationGracePeriodSeconds", 45)),
    ("an old API", POSTGRES, "schema", put("PodDisruptionBudget/noshi", "apiVersion", "policy/v1beta1")),
    # The program.
    ("setting misspelt", POSTGRES, "program", setting("drain_delay_seconds", "drain_delay_secs")),
    ("drain too short for the program", SQLITE, "program", setting("drain_timeout_seconds = 20", "drain_timeout_seconds = 11")),
    ("gateway in production", SANDBOX, "program", setting('"sandbox"', '"production"')),
    # The scanner sees for itself.
    ("scanner: privileged", POSTGRES, "CKV_K8S_16", put(SERVER, f"{MAIN}/securityContext/privileged", True)),
    ("scanner: the node's processes", SQLITE, "CKV_K8S_17", put(SET, f"{POD}/hostPID", True)),
    (
        "scanner: secret in a variable",
        POSTGRES,
        "CKV_K8S_35",
        put(SERVER, f"{MAIN}/envFrom", [{"secretRef": {"name": "noshi-account-us"}}]),
    ),
    ("scanner: no memory limit", POSTGRES, "CKV_K8S_13", drop(JOB, f"{MAIN}/resources/limits")),
    ("scanner: writable root", SQLITE, "CKV_K8S_22", drop(SET, f"{MAIN}/securityContext/readOnlyRootFilesystem")),
]
