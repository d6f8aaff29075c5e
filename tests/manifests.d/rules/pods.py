"""What every pod of ours is, whatever it runs."""

import re
from collections.abc import Iterator

from bundle import Bundle, Object, Pod, strings

from . import rule

USER = 65532
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
# The sandbox's own key pair opens nothing, so its overlay may run an image that was built on this machine.
DIGEST = re.compile(r"^[^@:]+(:[0-9]+)?(/[^@:]+)*@sha256:[0-9a-f]{64}$")
LOCAL_TAG = re.compile(r"^noshi:[0-9]+\.[0-9]+\.[0-9]+$")
SECRET_NAMES = re.compile(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|STORE__URL$|API_KEY")
PASSWORD_IN_URL = re.compile(r"[a-z]+://[^/\s:@]*:[^/\s@]+@")
BYTES = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity(text: str) -> int:
    number, unit = re.fullmatch(r"([0-9]+)(|Ki|Mi|Gi)", text).groups()
    return int(number) * BYTES[unit]


@rule
def pod_is_restricted(bundle: Bundle) -> Iterator[str]:
    """The pod security standard "restricted", and more: one unprivileged user, nothing of the node's."""
    for pod in bundle.pods:
        context = pod.spec.get("securityContext", {})
        for key, wanted in {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}.items():
            if context.get(key) != wanted:
                yield f"{pod.name}: securityContext.{key} must be {wanted}"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.name}: seccompProfile must be RuntimeDefault"
        if context.get("sysctls") or context.get("supplementalGroups"):
            yield f"{pod.name}: needs no sysctls and no groups"
        for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostAliases"):
            if pod.spec.get(key):
                yield f"{pod.name}: {key}"
        for volume in pod.spec.get("volumes", []):
            for kind in volume.keys() - {"name"} - VOLUMES:
                yield f"{pod.name}: volume {volume['name']} is a {kind}"


@rule
def container_is_confined(bundle: Bundle) -> Iterator[str]:
    """No way to more rights, and nothing to write to but the volumes."""
    for pod in bundle.pods:
        for container in pod.containers:
            yield from confinement(f"{pod.name}: {container['name']}", container)


def confinement(name: str, container: Object) -> Iterator[str]:
    context = container.get("securityContext", {})
    wanted = {"allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True}
    for key, value in wanted.items():
        if context.get(key) is not value:
            yield f"{name}: securityContext.{key} must be {value}"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: must drop ALL capabilities and add none"
    for key in context.keys() - wanted.keys() - {"capabilities"}:
        yield f"{name}: securityContext.{key} overrides the pod's"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield f"{name}: hostPort"
    if "command" in container or "lifecycle" in container and "exec" in str(container["lifecycle"]):
        yield f"{name}: the image has no shell and one program, which is its entry point"


@rule
def pod_has_no_rights_in_the_cluster(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods:
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: automountServiceAccountToken must be false"
        if pod.spec.get("serviceAccountName") != "noshi":
            yield f"{pod.name}: must have the service account noshi"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: enableServiceLinks must be false"
    account = bundle.get("ServiceAccount", "noshi")
    if account is None or account.get("automountServiceAccountToken") is not False:
        yield "ServiceAccount/noshi must be there and mount no token"


@rule
def image_cannot_change(bundle: Bundle) -> Iterator[str]:
    """By digest, the same for the migration as for the replicas. Only a trial runs what was built on this machine."""
    images = {container["image"] for pod in bundle.pods for container in pod.containers}
    if len(images) != 1:
        yield f"one image for all, not {sorted(images)}"
    wanted = LOCAL_TAG if bundle.gateway else DIGEST
    for image in images:
        if not wanted.match(image):
            yield f"image {image} is not what {wanted.pattern} says"
    for pod in bundle.pods:
        for container in pod.containers:
            if container.get("imagePullPolicy") != "IfNotPresent":
                yield f"{pod.name}: imagePullPolicy must be IfNotPresent"


@rule
def memory_is_guaranteed_and_the_cpu_free(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods:
        for container in pod.containers:
            name, resources = f"{pod.name}: {container['name']}", container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            if "cpu" not in requests:
                yield f"{name}: asks for no CPU"
            if "cpu" in limits:
                yield f"{name}: a CPU limit throttles calls into Amazon's 6 s"
            if not limits.get("memory") or limits.get("memory") != requests.get("memory"):
                yield f"{name}: the memory limit must be what is requested"
            elif quantity(limits["memory"]) < 64 * 2**20:
                yield f"{name}: less than 64Mi of memory"


@rule
def secrets_are_files(bundle: Bundle) -> Iterator[str]:
    """Not variables, which every child and crash report has; and not in the manifests at all."""
    for secret in bundle.of("Secret"):
        yield f"Secret/{secret['metadata']['name']}: secrets are not kept with the manifests"
    for pod in bundle.pods:
        for container in pod.containers:
            if container.get("envFrom"):
                yield f"{pod.name}: envFrom"
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    yield f"{pod.name}: {variable['name']} comes from elsewhere"
                if SECRET_NAMES.search(variable["name"]) and not variable["name"].endswith("_FILE"):
                    yield f"{pod.name}: {variable['name']} holds a secret"
    for text in strings(bundle.objects):
        if PASSWORD_IN_URL.search(text):
            yield "an address holds a password"


@rule
def secret_files_are_readable_by_us_only(bundle: Bundle) -> Iterator[str]:
    """Mode 0440: the kubelet gives the files to root and the pod's fsGroup, and 0400 would shut 65532 out without it."""
    for pod in bundle.pods:
        for volume in pod.spec.get("volumes", []):
            if "secret" not in volume:
                continue
            if volume["secret"].get("defaultMode") != 0o440 or volume["secret"].get("items"):
                yield f"{pod.name}: volume {volume['name']} must have all files with mode 0440"
            if volume["secret"].get("optional"):
                yield f"{pod.name}: volume {volume['name']} must not be optional"
            yield from secret_mounts(pod, volume["name"])


def secret_mounts(pod: Pod, volume: str) -> Iterator[str]:
    for container in pod.containers:
        for mount in container.get("volumeMounts", []):
            if mount["name"] != volume:
                continue
            if mount.get("readOnly") is not True:
                yield f"{pod.name}: {mount['mountPath']} must be read only"
            if "subPath" in mount or "subPathExpr" in mount:
                yield f"{pod.name}: {mount['mountPath']}: a subPath keeps the old secret"


@rule
def volumes_are_there_and_used(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods:
        claims = {claim["metadata"]["name"] for claim in pod.workload["spec"].get("volumeClaimTemplates", [])}
        there = {volume["name"] for volume in pod.spec.get("volumes", [])} | claims
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", [])}
        for name in there ^ mounted:
            yield f"{pod.name}: volume {name} is not both there and mounted"


@rule
def temporary_files_are_bounded(bundle: Bundle) -> Iterator[str]:
    """A root that is read only needs a /tmp, and no volume of the node's may grow without end."""
    for pod in bundle.pods:
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{pod.name}: volume {volume['name']} has no sizeLimit"
    server = bundle.server
    tmp = [mount["name"] for mount in server.spec["containers"][0]["volumeMounts"] if mount["mountPath"] == "/tmp"]
    volume = server.volume(tmp[0]) if tmp else None
    if volume is None or volume.get("emptyDir", {}).get("medium") != "Memory":
        yield f"{server.name}: /tmp must be there, in memory"
