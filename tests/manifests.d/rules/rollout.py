"""How pods come, go and spread."""

from collections.abc import Iterator

from bundle import COMPONENT, NAME, Bundle, selects

from . import rule


@rule
def sqlite_has_one_writer(bundle: Bundle) -> Iterator[str]:
    """Never two pods on one file, not even during a roll-out; and no budget that would hold every drain up for ever."""
    if not bundle.on_sqlite:
        return
    workload = bundle.server.workload
    spec = workload["spec"]
    if spec.get("replicas") != 1:
        yield "SQLite is for one replica"
    if bundle.of("PodDisruptionBudget"):
        yield "a budget for a single replica stops every drain"
    if workload["kind"] == "Deployment":
        if spec.get("strategy") != {"type": "Recreate"}:
            yield "the last pod must be gone before the next one comes: strategy Recreate"
        if not bundle.gateway:
            yield "a Deployment's data would be gone with the pod: only a trial may"
        return
    modes = [claim["spec"]["accessModes"] for claim in spec.get("volumeClaimTemplates", [])]
    if modes != [["ReadWriteOncePod"]]:
        yield f"the volume must be ReadWriteOncePod, not {modes}"
    if spec.get("persistentVolumeClaimRetentionPolicy") != {"whenDeleted": "Retain", "whenScaled": "Retain"}:
        yield "the volume must outlive the set"
    if spec.get("serviceName") != "noshi-admin" or bundle.get("Service", "noshi-admin") is None:
        yield "serviceName must be the headless Service"


@rule
def sqlite_lies_on_its_volume(bundle: Bundle) -> Iterator[str]:
    if not bundle.on_sqlite:
        return
    folder = bundle.settings["store"]["url"].removeprefix("sqlite://").rpartition("/")[0]
    mounts = {mount["mountPath"]: mount["name"] for mount in bundle.server.spec["containers"][0]["volumeMounts"]}
    wanted = "data"
    if mounts.get(folder) != wanted:
        yield f"{folder} must be the mount of the volume {wanted}"


@rule
def replicas_are_never_all_away(bundle: Bundle) -> Iterator[str]:
    if bundle.on_sqlite:
        return
    spec, pod = bundle.server.workload["spec"], bundle.server
    if bundle.server.workload["kind"] != "Deployment" or spec.get("replicas", 1) < 2:
        yield "two replicas at least"
    if spec.get("strategy") != {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}:
        yield "a roll-out must bring the next replica before it takes one away"
    budgets = bundle.of("PodDisruptionBudget")
    if len(budgets) != 1 or not selects(budgets[0]["spec"]["selector"]["matchLabels"], pod.labels):
        yield "one PodDisruptionBudget must select the replicas"
    elif (budgets[0]["spec"].get("maxUnavailable"), budgets[0]["spec"].get("minAvailable")) != (1, None):
        yield "the budget must let one replica go at a time"
    elif budgets[0]["spec"].get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield "a replica that is not ready must not hold a drain up"


@rule
def replicas_are_spread(bundle: Bundle) -> Iterator[str]:
    if bundle.on_sqlite:
        return
    pod = bundle.server
    spreads = {spread["topologyKey"]: spread for spread in pod.spec.get("topologySpreadConstraints", [])}
    for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone"):
        spread = spreads.get(key)
        if spread is None:
            yield f"not spread over {key}"
        elif not selects(spread["labelSelector"]["matchLabels"], pod.labels) or spread["maxSkew"] != 1:
            yield f"the spread over {key} is not one of the replicas"
    host = spreads.get("kubernetes.io/hostname", {})
    if host.get("whenUnsatisfiable") != "DoNotSchedule":
        yield "two replicas must not have to share a node while another is free"
    elif host.get("nodeTaintsPolicy") != "Honor":
        yield "a cordoned node counts, so that its replica would find no place"
    name = pod.spec.get("priorityClassName")
    if name is None or bundle.get("PriorityClass", name) is None:
        yield "the priority class must be there"


@rule
def nothing_scales_by_itself(bundle: Bundle) -> Iterator[str]:
    """Amazon's rate is the limit; more replicas do not raise it."""
    for found in bundle.of("HorizontalPodAutoscaler", "VerticalPodAutoscaler", "ScaledObject"):
        yield f"{found['kind']}/{found['metadata']['name']}"


@rule
def selectors_find_the_replicas_only(bundle: Bundle) -> Iterator[str]:
    """Of a Service or a workload; a migration's pod takes no calls."""
    wanted = {NAME: "noshi", COMPONENT: "server"}
    for service in bundle.of("Service"):
        if service["spec"].get("selector") != wanted:
            yield f"Service/{service['metadata']['name']}: must select {wanted}"
    if bundle.server.workload["spec"]["selector"].get("matchLabels") != wanted:
        yield f"{bundle.server.name}: must select {wanted}"
    for pod in bundle.pods:
        if pod.labels.get(NAME) != "noshi" or pod.serves != (pod.labels.get(COMPONENT) == "server"):
            yield f"{pod.name}: its pods' labels do not say what they are"
