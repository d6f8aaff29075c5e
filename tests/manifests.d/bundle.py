"""What a `kubectl kustomize` printed, and how the rules look things up in it."""

import copy
import dataclasses
import tomllib
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
VERSION = "app.kubernetes.io/version"

# Kinds of other people's, which no schema of Kubernetes knows. Any other unknown kind is a mistake.
CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule"}
CLUSTER_KINDS = {"Namespace", "PriorityClass"}
WORKLOADS = ("Deployment", "StatefulSet", "Job")

SETTINGS = "noshi.toml"


@dataclasses.dataclass(frozen=True)
class Pod:
    """A pod template of a workload."""

    workload: Object
    spec: Object
    labels: dict[str, str]

    @property
    def name(self) -> str:
        return title(self.workload)

    @property
    def containers(self) -> list[Object]:
        """All of them, sidecars first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def serves(self) -> bool:
        return self.command == "serve"

    @property
    def command(self) -> str:
        """What the pod is for: the first argument of its one container."""
        arguments = self.spec["containers"][0].get("args") or [""]
        return arguments[0]

    def volume(self, name: str) -> Object | None:
        return next((volume for volume in self.spec.get("volumes", []) if volume["name"] == name), None)


class Bundle:
    """All objects of one rendering."""

    def __init__(self, name: str, objects: list[Object]):
        self.name = name
        self.objects = objects

    def copy(self, name: str) -> "Bundle":
        return Bundle(name, copy.deepcopy(self.objects))

    def of(self, *kinds: str) -> list[Object]:
        return [found for found in self.objects if found.get("kind") in kinds]

    def get(self, kind: str, name: str) -> Object | None:
        return next((found for found in self.of(kind) if found["metadata"]["name"] == name), None)

    @property
    def pods(self) -> list[Pod]:
        return [
            Pod(workload, workload["spec"]["template"]["spec"], workload["spec"]["template"]["metadata"]["labels"])
            for workload in self.of(*WORKLOADS)
        ]

    @property
    def server(self) -> Pod:
        """The pods that serve. There is one workload of them."""
        [server] = [pod for pod in self.pods if pod.serves]
        return server

    def config_map_of(self, pod: Pod) -> Object | None:
        for volume in pod.spec.get("volumes", []):
            if "configMap" in volume:
                return self.get("ConfigMap", volume["configMap"]["name"])
        return None

    @property
    def settings_text(self) -> str:
        found = self.config_map_of(self.server)
        return "" if found is None else found["data"].get(SETTINGS, "")

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads(self.settings_text)

    @property
    def gateway(self) -> bool:
        """Whether the sandbox stands in for Amazon: a trial."""
        accounts = self.settings.get("accounts", {}).values()
        return any("sandbox_gateway" in account for account in accounts)

    @property
    def on_sqlite(self) -> bool:
        return self.settings.get("store", {}).get("url", "").startswith("sqlite://")


def title(found: Object) -> str:
    return f"{found.get('kind')}/{found.get('metadata', {}).get('name')}"


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels are what a selector asks for; an empty one asks for nothing."""
    return all(labels.get(key) == value for key, value in selector.items())


def strings(value: Any) -> Iterator[str]:
    """Every text in a tree."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
