"""Faults of any object."""

from breaking import (
    JOB,
    MAIN,
    POD,
    POSTGRES,
    SANDBOX,
    SERVER,
    SQLITE,
    Row,
    also,
    drop,
    named,
    put,
    without,
)

ROWS: list[Row] = [
    (
        "rights in the cluster",
        POSTGRES,
        "kinds_are_those_that_are_meant",
        also({**named("Role", "noshi", rules=[]), "apiVersion": "rbac.authorization.k8s.io/v1"}),
    ),
    (
        "any pod may run",
        POSTGRES,
        "namespace_refuses_other_pods",
        put("Namespace/noshi", "metadata/labels/pod-security.kubernetes.io~enforce", "baseline"),
    ),
    (
        "a version that moves",
        SQLITE,
        "namespace_refuses_other_pods",
        put("Namespace/noshi", "metadata/labels/pod-security.kubernetes.io~enforce-version", "latest"),
    ),
    ("in the default namespace", SQLITE, "objects_are_in_the_namespace", put("Service/noshi", "metadata/namespace", "default")),
    (
        "one name twice",
        POSTGRES,
        "names_are_taken_once",
        also(named("ServiceAccount", "noshi", automountServiceAccountToken=False)),
    ),
    (
        "another version",
        POSTGRES,
        "version_is_that_of_the_program",
        put(SERVER, "metadata/labels/app.kubernetes.io~version", "0.0.9"),
    ),
    ("an old image in the trial", SANDBOX, "version_is_that_of_the_program", put(SERVER, f"{MAIN}/image", "noshi:0.0.9")),
    ("no label", POSTGRES, "workloads_are_labelled", drop(JOB, "metadata/labels/app.kubernetes.io~part-of")),
    (
        "settings that are not there",
        SANDBOX,
        "references_lead_somewhere",
        put(SERVER, f"{POD}/volumes/settings/configMap/name", "noshi-settings"),
    ),
    ("no namespace", SANDBOX, "namespace_refuses_other_pods", without("Namespace/noshi")),
    (
        "pods without a version",
        POSTGRES,
        "version_is_that_of_the_program",
        drop(SERVER, "spec/template/metadata/labels/app.kubernetes.io~version"),
    ),
]
