"""What holds for every object, and which there may be."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from bundle import CLUSTER_KINDS, CUSTOM_KINDS, NAME, VERSION, WORKLOADS, Bundle, title

from . import rule

KINDS = {
    *WORKLOADS,
    *CUSTOM_KINDS,
    *CLUSTER_KINDS,
    "ConfigMap",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "ServiceAccount",
}
MODES = ("enforce", "audit", "warn")


@rule
def kinds_are_those_that_are_meant(bundle: Bundle) -> Iterator[str]:
    """Roles and bindings above all: the service needs no right in the cluster."""
    for found in bundle.objects:
        if found.get("kind") not in KINDS:
            yield f"{title(found)} is not meant to be here"


@rule
def namespace_refuses_other_pods(bundle: Bundle) -> Iterator[str]:
    namespace = bundle.get("Namespace", "noshi")
    if namespace is None:
        yield "the namespace is missing"
        return
    labels = namespace["metadata"].get("labels", {})
    for mode in MODES:
        if labels.get(f"pod-security.kubernetes.io/{mode}") != "restricted":
            yield f"{mode} must be restricted"
        if not re.fullmatch(r"v1\.[0-9]+", labels.get(f"pod-security.kubernetes.io/{mode}-version", "")):
            yield f"the version of {mode} must be pinned"


@rule
def objects_are_in_the_namespace(bundle: Bundle) -> Iterator[str]:
    for found in bundle.objects:
        if found["kind"] not in CLUSTER_KINDS and found["metadata"].get("namespace") != "noshi":
            yield f"{title(found)} is in another namespace"


@rule
def names_are_taken_once(bundle: Bundle) -> Iterator[str]:
    titles = [title(found) for found in bundle.objects]
    for name in {name for name in titles if titles.count(name) > 1}:
        yield f"{name} is there twice"


@rule
def version_is_that_of_the_program(bundle: Bundle) -> Iterator[str]:
    manifest = Path(__file__).parents[3] / "Cargo.toml"
    version = tomllib.loads(manifest.read_text())["package"]["version"]
    for found in bundle.objects:
        said = found["metadata"].get("labels", {}).get(VERSION, version)
        if said != version:
            yield f"{title(found)} says {said}, and Cargo.toml {version}"
    for pod in bundle.pods:
        if pod.labels.get(VERSION) != version:
            yield f"{pod.name}: its pods must say version {version}"
        for container in pod.containers:
            if ":" in container["image"] and "@" not in container["image"] and not container["image"].endswith(f":{version}"):
                yield f"{pod.name}: runs {container['image']}, and Cargo.toml says {version}"


@rule
def workloads_are_labelled(bundle: Bundle) -> Iterator[str]:
    wanted = (NAME, VERSION, "app.kubernetes.io/component", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")
    for workload in bundle.of(*WORKLOADS):
        for label in set(wanted) - workload["metadata"].get("labels", {}).keys():
            yield f"{title(workload)}: no label {label}"


@rule
def references_lead_somewhere(bundle: Bundle) -> Iterator[str]:
    """Everything that a pod names is in the bundle, but Secrets, which are brought by hand."""
    for pod in bundle.pods:
        for volume in pod.spec.get("volumes", []):
            name = volume.get("configMap", {}).get("name")
            if name is not None and bundle.get("ConfigMap", name) is None:
                yield f"{pod.name}: there is no ConfigMap/{name}"
