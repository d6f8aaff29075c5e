"""What is shown of the image while it runs: one purchase from end to end as a pod would make it, and whom it trusts."""

import pathlib
from collections.abc import Callable
from typing import Any

import distroless
import running
import tls
from dockerfile import Image
from oci import Running, Runtime
from pod import SERVE, Pod, until

Expect = Callable[[bool, str], None]
BUNDLE = f"/{distroless.BUNDLE}"


def noshi(pod: Pod, *arguments: str) -> tuple[int, str]:
    """A container of the pod that runs one command of the program."""
    return pod.runtime.run(pod.container(arguments[0], list(arguments)))


def ready(service: Running, image: Image) -> bool:
    assert service.process.poll() is None, f"the service ended: {service.said()}"
    return service.exec(str(image.binary), "healthcheck") == (0, "ready")


def serve(pod: Pod, **more: Any) -> Running:
    service = pod.runtime.start(pod.container("service", SERVE, **more))
    until("the service is ready", lambda: ready(service, pod.image))
    return service


def purchase(runtime: Runtime, image: Image, root: pathlib.Path, expect: Expect) -> None:
    """The pod of k8s/overlays/sandbox: settings are read, the file migrated, a gift code bought, and the stop is clean."""
    pod = Pod(runtime, image, root, "sandbox")
    code, said = noshi(pod, "check")
    expect(code == 0 and "sandbox_gateway" in said and "[hidden]" in said, f"noshi check: {code}, {said}")
    code, said = noshi(pod, "migrate")
    expect(code == 0 and "the database is up to date\n" in said, f"noshi migrate did not say that it is done: {said}")
    service = serve(pod)
    expect(service.exec(*image.healthcheck)[0] == 0, "the Dockerfile's HEALTHCHECK does not find the service healthy")
    code, key = service.exec(str(image.binary), "keys", "create", "--client", "shop")
    expect(code == 0, f"noshi keys create: {key}")
    key = key.split()[0]  # what follows says when it ends
    status, reward = pod.order(key, "order-1")
    codes = [card["claim_code"] for card in pod.book()]
    expect(status == 201 and codes == [reward.get("claim_code")], f"one code for one card: {status}, {reward}, {codes}")
    for wrong in (*running.identity(service), *running.writes(service)):
        expect(False, f"the service {wrong}")
    code, said = service.exec(str(image.binary), "demo", "--once", "--dir", f"{distroless.WORKING_DIRECTORY}/demo")
    expect(code == 1 and "Read-only file system" in said, f"its own folder could be written: {code}, {said}")
    most, limit = service.memory()
    expect(limit == pod.limits.memory << 20 and most < limit, f"{most} bytes of memory at most, of {limit}")
    resident = running.resident(service)
    print(f"memory: {most / 2**20:.0f} MiB charged at most, {resident / 2**20:.0f} MiB resident, of {limit >> 20} MiB")
    service.signal("TERM")
    draining = (1, "noshi: /readyz answered 503: draining")
    until("it says that it is draining", lambda: service.exec(str(image.binary), "healthcheck") == draining)
    expect(service.wait() == 0, f"after SIGTERM the service ended with {service.wait()}: {service.said()[-500:]}")
    pod.gateway.signal("TERM")
    expect(pod.gateway.wait() == 0, "after SIGTERM the gateway did not end well")


def trust(runtime: Runtime, image: Image, root: pathlib.Path, expect: Expect) -> None:
    """The pod of k8s/overlays/sqlite, which goes to Amazon's host by its name and by TLS: it believes the image's bundle.

    The host and a database are played by servers with a certificate of a new CA. With the bundle of the image nobody may believe
    them; with the same bundle and that CA in it, everybody must.
    """
    pod = Pod(runtime, image, root, "sqlite")
    certificates = pod.folder / "certificates"
    tls.make_certificates(certificates)
    amazon = tls.Server(pod.gateway.pid, 443, certificates, tls.speak_as_amazon)
    database = tls.Server(pod.gateway.pid, 5432, certificates, tls.speak_as_database)
    hosts = pod.mounted("names", {"hosts": f"127.0.0.1 localhost {tls.AMAZON} {tls.DATABASE}\n"}, 0o444) / "hosts"
    bundle = pod.folder / "with-ours.crt"
    bundle.write_bytes((root / distroless.BUNDLE).read_bytes() + (certificates / "ca.crt").read_bytes())
    bundle.chmod(0o444)
    url = {"NOSHI__STORE__URL": f"postgres://noshi:not-a-secret@{tls.DATABASE}/noshi?sslmode=verify-full"}
    expect(noshi(pod, "migrate")[0] == 0, "noshi migrate")
    for trusted in (False, True):
        mounts = {"/etc/hosts": hosts} | ({BUNDLE: bundle} if trusted else {})
        amazon.believed.clear()
        amazon.refused.clear()
        service = serve(pod, read_only=mounts)
        _, key = service.exec(str(image.binary), "keys", "create", "--client", "shop")
        key = key.split()[0]
        status, reward = pod.order(key, f"order-{trusted}")
        believed = set(amazon.believed)
        if trusted:
            good = status == 201 and believed == {tls.AMAZON} and not amazon.refused and len(pod.book()) == 1
        else:
            good = status != 201 and not believed and bool(amazon.refused) and pod.book() == []
        expect(good, f"Amazon {trusted=}: {status}, {reward}, believed {believed}, refused {set(amazon.refused)}")
        service.signal("KILL")
        service.wait()
        database.believed.clear()
        database.refused.clear()
        code, said = runtime.run(pod.container("migrate", ["migrate"], read_only=mounts, environment=url))
        good = bool(database.believed) == trusted and bool(database.refused) != trusted
        # No database follows the handshake, so it cannot end well.
        expect(good and code == 1, f"PostgreSQL {trusted=}: {said}, believed {database.believed}, refused {database.refused}")
    pod.gateway.signal("KILL")


def starts(runtime: Runtime, image: Image, root: pathlib.Path) -> tuple[int, str]:
    """Whether the service starts at all: its exit code, and why; 0 when it was ready and stopped well."""
    pod = Pod(runtime, image, root, "sqlite", gateway=False)
    service = pod.runtime.start(pod.container("service", SERVE, environment={"NOSHI__SERVER__DRAIN_DELAY_SECONDS": "0"}))
    until("the service is ready", lambda: service.process.poll() is not None or ready(service, image))
    if service.process.poll() is None:
        service.signal("TERM")
    return service.wait(), service.said()
