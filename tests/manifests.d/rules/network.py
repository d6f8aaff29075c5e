"""Who reaches the pods, and whom they reach."""

import ipaddress
from collections.abc import Iterator

from bundle import COMPONENT, NAME, Bundle, Object, selects

from . import rule

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
PRIVATE_6 = ("::1/128", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SERVER = {NAME: "noshi", COMPONENT: "server"}
ANSWER_SECONDS = 10
COLLECTOR, COLLECTOR_PORT = "noshi-to-collector", 4318
ANNOTATION = "nginx.ingress.kubernetes.io/"


def allowed(bundle: Bundle, direction: str) -> Iterator[tuple[str, Object, str, int]]:
    """Each peer that a policy lets through, with the policy's name, the protocol and the port."""
    side = {"ingress": "from", "egress": "to"}[direction]
    for policy in bundle.of("NetworkPolicy"):
        for row in policy["spec"].get(direction, []):
            # No peers is everybody, and no ports is every port.
            for peer in row.get(side) or [{}]:
                for port in row.get("ports") or [{}]:
                    name = policy["metadata"]["name"]
                    yield name, peer, port.get("protocol", "TCP"), port.get("port", 0)


def by_nat64(private: str) -> ipaddress.IPv6Network:
    """An IPv4 range as a host with IPv6 alone reaches it."""
    network = ipaddress.IPv4Network(private)
    return ipaddress.IPv6Network((int(NAT64.network_address) + int(network.network_address), 96 + network.prefixlen))


def everywhere_but_inside() -> dict[str, set[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    """What HTTPS may reach: both protocols, and what each must leave out."""
    return {
        "0.0.0.0/0": {ipaddress.ip_network(private) for private in PRIVATE},
        "::/0": {ipaddress.ip_network(private) for private in PRIVATE_6} | {by_nat64(private) for private in PRIVATE},
    }


def policies_of(bundle: Bundle, labels: dict[str, str], direction: str) -> Iterator[Object]:
    for policy in bundle.of("NetworkPolicy"):
        selector = policy["spec"]["podSelector"].get("matchLabels", {})
        if selects(selector, labels) and policy["spec"].get(direction.lower()):
            yield policy


@rule
def nothing_passes_unless_said(bundle: Bundle) -> Iterator[str]:
    for policy in bundle.of("NetworkPolicy"):
        spec = policy["spec"]
        everything = spec["podSelector"] == {} and sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
        if everything and "ingress" not in spec and "egress" not in spec:
            return
    yield "no NetworkPolicy denies both ways for every pod"


@rule
def only_callers_and_prometheus_come_in(bundle: Bundle) -> Iterator[str]:
    ports = set()
    for name, peer, protocol, port in allowed(bundle, "ingress"):
        selector = peer.get("namespaceSelector", {}).get("matchLabels")
        ports.add((protocol, port))
        if not selector:
            yield f"{name}: lets in more than the pods of named namespaces"
        elif port == 9090 and selector != {"kubernetes.io/metadata.name": "monitoring"}:
            yield f"{name}: the admin port is for Prometheus only"
    if ports != {("TCP", 8080), ("TCP", 9090)}:
        yield f"what comes in is {sorted(ports)}"
    for policy in bundle.of("NetworkPolicy"):
        if policy["spec"].get("ingress") and policy["spec"]["podSelector"].get("matchLabels") != SERVER:
            yield f"{policy['metadata']['name']}: only replicas are reached"


@rule
def names_are_asked_of_the_cluster_by_both_protocols(bundle: Bundle) -> Iterator[str]:
    found = set()
    for name, peer, protocol, port in allowed(bundle, "egress"):
        if port != 53:
            continue
        found.add(protocol)
        if "namespaceSelector" not in peer or "podSelector" not in peer:
            yield f"{name}: any name server is a way out"
    if found != {"UDP", "TCP"}:
        yield f"DNS by {sorted(found)}"


@rule
def only_amazon_and_the_database_are_reached(bundle: Bundle) -> Iterator[str]:
    ways, public = set(), set()
    inside = everywhere_but_inside()
    for name, peer, protocol, port in allowed(bundle, "egress"):
        if port == 53:
            continue
        ways.add((protocol, port))
        block = peer.get("ipBlock")
        if port == 443:
            cidr = (block or {}).get("cidr")
            left_out = {ipaddress.ip_network(private) for private in (block or {}).get("except", [])}
            if cidr not in inside or not inside[cidr] <= left_out:
                yield f"{name}: HTTPS must be to public addresses only"
            elif any(NAT64.subnet_of(private) for private in left_out if private.version == NAT64.version):
                yield f"{name}: a cluster with IPv6 alone reaches Amazon by NAT64"
            public.add(cidr)
        elif block is not None and ipaddress.ip_network(block["cidr"]).num_addresses > 256:
            yield f"{name}: {block['cidr']} is more than a database"
        elif not peer:
            yield f"{name}: everything is let out by port {port}"
    if ("TCP", 443) in ways and public != set(inside):
        yield f"HTTPS is let out to {sorted(str(cidr) for cidr in public)}, and should be by IPv4 and IPv6"
    wanted = set() if bundle.gateway else {("TCP", 443)}
    if not bundle.on_sqlite:
        wanted.add(("TCP", 5432))
    if bundle.get("NetworkPolicy", COLLECTOR):
        wanted.add(("TCP", COLLECTOR_PORT))
    if ways != wanted:
        yield f"what goes out is {sorted(ways)}, and should be {sorted(wanted)}"


@rule
def spans_go_from_replicas_to_one_namespace(bundle: Bundle) -> Iterator[str]:
    endpoint = bundle.settings.get("traces", {}).get("endpoint", "")
    policy = bundle.get("NetworkPolicy", COLLECTOR)
    if endpoint and not policy:
        yield f"no way leads to the collector, {endpoint}"
    if not policy:
        return
    if policy["spec"]["podSelector"].get("matchLabels") != SERVER:
        yield f"{COLLECTOR}: only replicas make spans"
    for name, peer, protocol, port in allowed(bundle, "egress"):
        if name != COLLECTOR:
            continue
        if not peer.get("namespaceSelector", {}).get("matchLabels") or (protocol, port) != ("TCP", COLLECTOR_PORT):
            yield f"{name}: leads further than to a collector: {peer}, {protocol} {port}"


@rule
def the_migration_reaches_the_database_only(bundle: Bundle) -> Iterator[str]:
    for pod in bundle.pods:
        if pod.command != "migrate":
            continue
        names = {policy["metadata"]["name"] for policy in policies_of(bundle, pod.labels, "Egress")}
        if names != {"noshi-to-dns", "noshi-to-database"}:
            yield f"{pod.name}: reaches {sorted(names)}"


@rule
def services_are_inside(bundle: Bundle) -> Iterator[str]:
    wanted = {"noshi": [("api", 8080, "api")], "noshi-admin": [("admin", 9090, "admin")]}
    found = {}
    for service in bundle.of("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        found[name] = [(port["name"], port["port"], port.get("targetPort")) for port in spec["ports"]]
        if spec.get("type", "ClusterIP") != "ClusterIP" or spec.get("externalIPs"):
            yield f"Service/{name}: is reached from outside"
    if found != wanted:
        yield f"the Services' ports are {found}"
    admin = bundle.get("Service", "noshi-admin") or {"spec": {}}
    if admin["spec"].get("clusterIP") != "None" or admin["spec"].get("publishNotReadyAddresses") is not True:
        yield "Service/noshi-admin must name each pod, ready or not"


@rule
def ingress_repeats_nothing_and_waits(bundle: Bundle) -> Iterator[str]:
    for ingress in bundle.of("Ingress"):
        annotations, spec = ingress["metadata"].get("annotations", {}), ingress["spec"]
        said = {key.removeprefix(ANNOTATION): value for key, value in annotations.items()}
        hosts = {host for tls in spec.get("tls", []) for host in tls["hosts"] if tls.get("secretName")}
        if said.get("force-ssl-redirect") != "true" or hosts != {row.get("host") for row in spec["rules"]}:
            yield "every host must have TLS, and nothing else"
        if said.get("proxy-next-upstream") != "off":
            yield "a proxy must not send a purchase again"
        if int(said.get("proxy-read-timeout", 60)) not in range(ANSWER_SECONDS + 5, 61):
            yield "an answer may take 10 s"
        if said.get("proxy-body-size") != "8k":
            yield "bodies are small"
        if said.get("proxy-max-temp-file-size") != "0":
            yield "an answer with a code may be written to the proxy's disk"
        if any("snippet" in key for key in said):
            yield "a snippet may say anything"
        for row in spec["rules"]:
            for path in row["http"]["paths"]:
                backend = path["backend"]["service"]
                if (path["path"], backend["name"], backend["port"]) != ("/v1", "noshi", {"name": "api"}):
                    yield f"{path['path']} leads to {backend}"
        if spec.get("defaultBackend"):
            yield "a default backend"


@rule
def prometheus_finds_the_admin_port(bundle: Bundle) -> Iterator[str]:
    for monitor in bundle.of("ServiceMonitor"):
        spec = monitor["spec"]
        selector = spec["selector"]["matchLabels"]
        found = [service for service in bundle.of("Service") if selects(selector, service["metadata"]["labels"])]
        if [service["metadata"]["name"] for service in found] != ["noshi-admin"]:
            yield "the ServiceMonitor must find the admin Service, and no other"
        for endpoint in spec["endpoints"]:
            if (endpoint.get("port"), endpoint.get("path")) != ("admin", "/metrics"):
                yield f"no metrics at {endpoint}"
        jobs = [service["metadata"]["labels"].get(spec.get("jobLabel")) for service in found]
        if jobs != ["noshi"]:
            yield f"alerts and dashboards ask for the job noshi, and the operator calls it {jobs}"
        if "namespaceSelector" in spec:
            yield "the ServiceMonitor looks beyond its namespace"
