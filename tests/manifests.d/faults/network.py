"""Faults of policies, Services, the Ingress and the monitor."""

from breaking import POSTGRES, SANDBOX, SQLITE, WHOLE, Row, add, drop, put, setting, without

ANNOTATION = "metadata/annotations/nginx.ingress.kubernetes.io~"
HTTPS_ANYWHERE = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]}]

ROWS: list[Row] = [
    ("no policy denies", POSTGRES, "nothing_passes_unless_said", without("NetworkPolicy/deny-all")),
    (
        "only what comes in is denied",
        SQLITE,
        "nothing_passes_unless_said",
        put("NetworkPolicy/deny-all", "spec/policyTypes", ["Ingress"]),
    ),
    (
        "everybody may call",
        POSTGRES,
        "only_callers_and_prometheus_come_in",
        drop("NetworkPolicy/callers-to-noshi", "spec/ingress/0/from"),
    ),
    (
        "callers reach the admin port",
        POSTGRES,
        "only_callers_and_prometheus_come_in",
        put("NetworkPolicy/callers-to-noshi", "spec/ingress/0/ports/0/port", 9090),
    ),
    (
        "every namespace is let in",
        SQLITE,
        "only_callers_and_prometheus_come_in",
        put("NetworkPolicy/prometheus-to-noshi", "spec/ingress/0/from/0/namespaceSelector", {}),
    ),
    (
        "names by UDP only",
        POSTGRES,
        "names_are_asked_of_the_cluster_by_both_protocols",
        drop("NetworkPolicy/noshi-to-dns", "spec/egress/0/ports/1"),
    ),
    (
        "any name server",
        SQLITE,
        "names_are_asked_of_the_cluster_by_both_protocols",
        drop("NetworkPolicy/noshi-to-dns", "spec/egress/0/to"),
    ),
    (
        "the metadata service is reached",
        POSTGRES,
        "only_amazon_and_the_database_are_reached",
        put("NetworkPolicy/noshi-to-amazon", "spec/egress", HTTPS_ANYWHERE),
    ),
    (
        "Amazon by IPv4 alone",
        SQLITE,
        "only_amazon_and_the_database_are_reached",
        drop("NetworkPolicy/noshi-to-amazon", "spec/egress/0/to/1"),
    ),
    (
        "the metadata service is reached by IPv6",
        POSTGRES,
        "only_amazon_and_the_database_are_reached",
        put("NetworkPolicy/noshi-to-amazon", "spec/egress/0/to/1/ipBlock/except", ["fe80::/10"]),
    ),
    (
        "no way to Amazon from a cluster with IPv6 alone",
        POSTGRES,
        "only_amazon_and_the_database_are_reached",
        add("NetworkPolicy/noshi-to-amazon", "spec/egress/0/to/1/ipBlock/except", "64:ff9b::/96"),
    ),
    (
        "every port goes out",
        SQLITE,
        "only_amazon_and_the_database_are_reached",
        drop("NetworkPolicy/noshi-to-amazon", "spec/egress/0/ports"),
    ),
    (
        "a trial that reaches Amazon",
        SANDBOX,
        "only_amazon_and_the_database_are_reached",
        add("NetworkPolicy/noshi-to-dns", "spec/egress", HTTPS_ANYWHERE[0]),
    ),
    (
        "spans that reach nobody",
        POSTGRES,
        "spans_go_from_replicas_to_one_namespace",
        setting("[log]", '[traces]\nendpoint = "http://otel-collector.observability.svc:4318"\n\n[log]'),
    ),
    (
        "the collector may be anywhere",
        WHOLE,
        "spans_go_from_replicas_to_one_namespace",
        put("NetworkPolicy/noshi-to-collector", "spec/egress/0/to/0/namespaceSelector", {}),
    ),
    (
        "the migration reaches the collector",
        WHOLE,
        "spans_go_from_replicas_to_one_namespace",
        drop("NetworkPolicy/noshi-to-collector", "spec/podSelector/matchLabels/app.kubernetes.io~component"),
    ),
    (
        "the collector by another port",
        WHOLE,
        "only_amazon_and_the_database_are_reached",
        put("NetworkPolicy/noshi-to-collector", "spec/egress/0/ports/0/port", 22),
    ),
    ("no way to the database", POSTGRES, "only_amazon_and_the_database_are_reached", without("NetworkPolicy/noshi-to-database")),
    (
        "any PostgreSQL of the world",
        POSTGRES,
        "only_amazon_and_the_database_are_reached",
        put("NetworkPolicy/noshi-to-database", "spec/egress/0/to/0/ipBlock/cidr", "0.0.0.0/0"),
    ),
    (
        "the migration reaches Amazon",
        POSTGRES,
        "the_migration_reaches_the_database_only",
        drop("NetworkPolicy/noshi-to-amazon", "spec/podSelector/matchLabels/app.kubernetes.io~component"),
    ),
    ("a load balancer", POSTGRES, "services_are_inside", put("Service/noshi", "spec/type", "LoadBalancer")),
    (
        "the admin port beside the API",
        SQLITE,
        "services_are_inside",
        add("Service/noshi", "spec/ports", {"name": "admin", "port": 9090, "targetPort": "admin"}),
    ),
    ("metrics of ready pods only", POSTGRES, "services_are_inside", drop("Service/noshi-admin", "spec/publishNotReadyAddresses")),
    (
        "the proxy sends again",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        drop("Ingress/noshi", f"{ANNOTATION}proxy-next-upstream"),
    ),
    (
        "the proxy gives up early",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        put("Ingress/noshi", f"{ANNOTATION}proxy-read-timeout", "10"),
    ),
    ("no TLS", WHOLE, "ingress_repeats_nothing_and_waits", drop("Ingress/noshi", "spec/tls")),
    (
        "metrics for the world",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        put("Ingress/noshi", "spec/rules/0/http/paths/0/backend/service", {"name": "noshi-admin", "port": {"name": "admin"}}),
    ),
    (
        "Prometheus asks the API",
        WHOLE,
        "prometheus_finds_the_admin_port",
        put("ServiceMonitor/noshi", "spec/selector/matchLabels/app.kubernetes.io~component", "api"),
    ),
    (
        "the job has another name",
        WHOLE,
        "prometheus_finds_the_admin_port",
        put("ServiceMonitor/noshi", "spec/jobLabel", "app.kubernetes.io/component"),
    ),
    (
        "another namespace reads the metrics",
        POSTGRES,
        "only_callers_and_prometheus_come_in",
        put(
            "NetworkPolicy/prometheus-to-noshi",
            "spec/ingress/0/from/0/namespaceSelector/matchLabels",
            {"noshi-caller": "allowed"},
        ),
    ),
    (
        "a port too many",
        SQLITE,
        "only_callers_and_prometheus_come_in",
        add("NetworkPolicy/callers-to-noshi", "spec/ingress/0/ports", {"protocol": "TCP", "port": 8082}),
    ),
    (
        "the migration is called",
        POSTGRES,
        "only_callers_and_prometheus_come_in",
        drop("NetworkPolicy/callers-to-noshi", "spec/podSelector/matchLabels/app.kubernetes.io~component"),
    ),
    (
        "any host by the database's port",
        POSTGRES,
        "only_amazon_and_the_database_are_reached",
        drop("NetworkPolicy/noshi-to-database", "spec/egress/0/to"),
    ),
    ("large bodies", WHOLE, "ingress_repeats_nothing_and_waits", put("Ingress/noshi", f"{ANNOTATION}proxy-body-size", "0")),
    (
        "codes on the proxy's disk",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        drop("Ingress/noshi", f"{ANNOTATION}proxy-max-temp-file-size"),
    ),
    (
        "a snippet",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        put("Ingress/noshi", f"{ANNOTATION}configuration-snippet", "access_log /dev/stdout;"),
    ),
    (
        "a default backend",
        WHOLE,
        "ingress_repeats_nothing_and_waits",
        put("Ingress/noshi", "spec/defaultBackend", {"service": {"name": "noshi", "port": {"name": "api"}}}),
    ),
    ("metrics elsewhere", WHOLE, "prometheus_finds_the_admin_port", put("ServiceMonitor/noshi", "spec/endpoints/0/path", "/")),
    (
        "Prometheus looks around",
        WHOLE,
        "prometheus_finds_the_admin_port",
        put("ServiceMonitor/noshi", "spec/namespaceSelector", {"any": True}),
    ),
]
