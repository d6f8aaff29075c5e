"""What the settings and the pod must agree about."""

from collections.abc import Iterator

from bundle import Bundle, Object, selects

from . import rule

# Two calls to Amazon, as the program itself asks; the database besides.
DRAIN_SECONDS_MIN = 2 * 6 + 2
# How long endpoints and load balancers may take to look away.
DELAY_SECONDS_MIN = 5
MARGIN_SECONDS = 5
# A start waits so long for another's migration.
MIGRATION_WAIT_SECONDS = 60


def probe_seconds(probe: Object) -> int:
    return probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)


@rule
def grace_is_longer_than_the_drain(bundle: Bundle) -> Iterator[str]:
    """preStop + delay + drain + 5 <= terminationGracePeriodSeconds, and the drain is long enough for what it waits for."""
    pod, server = bundle.server, bundle.settings.get("server", {})
    hook = pod.spec["containers"][0].get("lifecycle", {}).get("preStop", {})
    pre_stop = hook.get("sleep", {}).get("seconds", 0)
    delay, drain = server.get("drain_delay_seconds", 0), server.get("drain_timeout_seconds", 20)
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    if pre_stop + delay + drain + MARGIN_SECONDS > grace:
        yield f"{pre_stop} + {delay} + {drain} + {MARGIN_SECONDS} s is more than the grace period, {grace} s"
    if drain < DRAIN_SECONDS_MIN:
        yield f"drain_timeout_seconds {drain} is less than {DRAIN_SECONDS_MIN}"
    if pre_stop + delay < DELAY_SECONDS_MIN:
        yield f"callers have only {pre_stop + delay} s to look away"


@rule
def probes_ask_what_they_should(bundle: Bundle) -> Iterator[str]:
    container = bundle.server.spec["containers"][0]
    wanted = {
        "startupProbe": ("/livez", range(MIGRATION_WAIT_SECONDS + 30, 301)),
        # One slow minute is no reason to kill purchases; a process that hangs is found within two.
        "livenessProbe": ("/livez", range(60, 121)),
        "readinessProbe": ("/readyz", range(5, 21)),
    }
    for name, (path, seconds) in wanted.items():
        probe = container.get(name)
        if probe is None:
            yield f"{name} is missing"
            continue
        if probe.get("httpGet", {}) != {"path": path, "port": "admin"}:
            yield f"{name} must be a GET of {path} on the port admin"
        if probe_seconds(probe) not in seconds:
            yield f"{name} decides after {probe_seconds(probe)} s"
        if probe.get("timeoutSeconds", 1) < 2:
            yield f"{name}: one second is short for a loaded node"


@rule
def ports_are_those_of_the_settings(bundle: Bundle) -> Iterator[str]:
    server = bundle.settings.get("server", {})
    ports = {port["name"]: port["containerPort"] for port in bundle.server.spec["containers"][0]["ports"]}
    for name, key in {"api": "listen", "admin": "admin_listen"}.items():
        address, _, port = server.get(key, "127.0.0.1:0").rpartition(":")
        if address != "[::]":
            yield f"server.{key}: not everybody outside the pod reaches {address}, by IPv4 or by IPv6"
        if ports.get(name) != int(port):
            yield f"the port {name} must be that of server.{key}, {port}"


@rule
def settings_are_in_one_place(bundle: Bundle) -> Iterator[str]:
    """The file. A variable would win over it, and the arithmetic here would look at the wrong figures."""
    pod = bundle.server
    container = pod.spec["containers"][0]
    if container.get("env"):
        yield f"{pod.name}: settings by variables"
    folder = container.get("workingDir")
    if container["args"] != ["serve", "--config", f"{folder}/noshi.toml"]:
        yield f"{pod.name}: must serve with the noshi.toml of its working directory"
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volume = pod.volume(mounts.get(folder, ""))
    found = bundle.config_map_of(pod)
    if volume is None or found is None or volume["configMap"]["name"] != found["metadata"]["name"]:
        yield f"{pod.name}: {folder} must be the settings' ConfigMap"
    elif found.get("immutable") is not True:
        yield "the settings' ConfigMap must be immutable: new settings are a new one, and a roll-out"


@rule
def secrets_of_the_settings_are_mounted(bundle: Bundle) -> Iterator[str]:
    """Each KEY_file lies under a mounted Secret; none is in the file itself but the sandbox's, which is no secret."""
    pod, settings = bundle.server, bundle.settings
    mounts = {
        mount["mountPath"] for mount in pod.spec["containers"][0]["volumeMounts"] if "secret" in (pod.volume(mount["name"]) or {})
    }
    sections = {"store": settings.get("store", {}), **settings.get("accounts", {})}
    if not settings.get("accounts"):
        yield "the settings name no account"
    for name, section in sections.items():
        for key, value in section.items():
            if key.endswith("_file") and value.rpartition("/")[0] not in mounts:
                yield f"{name}.{key}: {value} is in no mounted Secret"
            if key in {"access_key_id", "secret_access_key"} and "sandbox_gateway" not in section:
                yield f"{name}.{key} is in a ConfigMap"
    if not bundle.on_sqlite and "url" in settings["store"]:
        yield "store.url is in a ConfigMap"


@rule
def replicas_may_not_change_the_schema(bundle: Bundle) -> Iterator[str]:
    """On a server, a Job does, before them, with a role of its own and without the keys of Amazon."""
    jobs = [pod for pod in bundle.pods if pod.command == "migrate"]
    if bundle.on_sqlite:
        if jobs:
            yield "SQLite is migrated at the start"
        return
    if bundle.settings["store"].get("migrate_on_start", False):
        yield "store.migrate_on_start"
    if len(jobs) != 1 or jobs[0].workload["kind"] != "Job":
        yield "one Job must migrate"
        return
    [job] = jobs
    secrets = [volume["secret"]["secretName"] for volume in job.spec.get("volumes", []) if "secret" in volume]
    theirs = [volume["secret"]["secretName"] for volume in bundle.server.spec["volumes"] if "secret" in volume]
    if len(secrets) != 1 or set(secrets) & set(theirs):
        yield f"{job.name}: must have the one secret of its own role, not {secrets}"
    container = job.spec["containers"][0]
    variables = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
    folder = container["volumeMounts"][0]["mountPath"]
    if variables != {"NOSHI__STORE__URL_FILE": f"{folder}/url"}:
        yield f"{job.name}: must be told where the database's address is, and nothing else"
    spec = job.workload["spec"]
    if job.spec.get("restartPolicy") != "Never" or not spec.get("activeDeadlineSeconds") or not spec.get("backoffLimit"):
        yield f"{job.name}: must end, one way or the other"
    if not spec.get("ttlSecondsAfterFinished"):
        yield f"{job.name}: must make room for the next one"
    if selects(bundle.server.workload["spec"]["selector"]["matchLabels"], job.labels):
        yield f"{job.name}: is counted among the replicas"
