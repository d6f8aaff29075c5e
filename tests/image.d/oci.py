"""Starts containers as a node does, by the same program: runc, on a bundle that says what the pod says.

What the pod's security context asks for (k8s/base/deployment.yaml) is in `Container.spec`: uid and gid by number, no capability,
no new privileges, a root that cannot be written, a /tmp in memory, a limit of memory. Not here: the runtime's seccomp profile,
which belongs to the engine.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import time
from typing import Any

import distroless
from dockerfile import Image

READ_ONLY = ["bind", "ro", "nosuid", "nodev", "noexec"]
WRITABLE = ["bind", "rw", "nosuid", "nodev", "noexec"]
CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the manifests grant, in MiB."""

    memory: int
    tmp: int

    @classmethod
    def read(cls, deployment: pathlib.Path) -> "Limits":
        text = deployment.read_text()
        memory, tmp = re.findall(r"limits:\n\s+memory: (\d+)Mi\n", text), re.findall(r"sizeLimit: (\d+)Mi\n", text)
        assert len(memory) == 1 and len(tmp) == 1, f"{deployment} grants memory {memory} and tmp {tmp}"
        return cls(int(memory[0]), int(tmp[0]))


@dataclasses.dataclass
class Container:
    """One container: an image, what it is told, and what is mounted."""

    name: str
    image: Image
    root: pathlib.Path
    arguments: list[str]
    limits: Limits
    # Inside -> outside.
    read_only: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    writable: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    working_directory: str = distroless.WORKING_DIRECTORY
    # Of which container's network it is part, by the id of its process: that is what makes a pod.
    network_of: int | None = None
    # What broken copies change.
    user: tuple[int, int] | None = None
    capabilities: list[str] = dataclasses.field(default_factory=list)
    root_is_read_only: bool = True
    program: list[str] | None = None

    def process(self, arguments: list[str]) -> dict[str, Any]:
        uid, gid = self.user or self.image.user
        environment = distroless.ENVIRONMENT | self.environment
        return {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": arguments,
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": self.working_directory,
            "capabilities": {name: self.capabilities for name in CAPABILITY_SETS},
            "noNewPrivileges": not self.capabilities,
        }

    def spec(self, cgroup: str) -> dict[str, Any]:
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", f"size={self.limits.tmp}m"]},
        ]
        for options, binds in ((READ_ONLY, self.read_only), (WRITABLE, self.writable)):
            mounts += [{"destination": to, "type": "bind", "source": str(source), "options": options} for to, source in binds.items()]
        network = {} if self.network_of is None else {"path": f"/proc/{self.network_of}/ns/net"}
        spaces = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]
        memory = self.limits.memory << 20
        return {
            "ociVersion": "1.0.2",
            "process": self.process([*(self.program or self.image.entrypoint), *self.arguments]),
            "root": {"path": str(self.root), "readonly": self.root_is_read_only},
            "hostname": "noshi",
            "mounts": mounts,
            "linux": {
                "cgroupsPath": cgroup,
                "namespaces": [*spaces, {"type": "network"} | network],
                "resources": {"memory": {"limit": memory, "swap": memory}, "devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }


class Runtime:
    """runc, and what it started."""

    def __init__(self, program: pathlib.Path, work: pathlib.Path):
        self.program = program
        self.work = work
        self.count = 0
        self.running: list[Running] = []

    def command(self, *arguments: str | pathlib.Path) -> list[str | pathlib.Path]:
        return [self.program, "--root", self.work / "state", *arguments]

    def start(self, container: Container) -> "Running":
        self.count += 1
        name = f"{self.work.name}-{self.count}-{container.name}"
        bundle = self.work / name
        bundle.mkdir(parents=True)
        (bundle / "config.json").write_text(json.dumps(container.spec(f"/{name}")))
        with (bundle / "out").open("w") as out, (bundle / "err").open("w") as err:
            command = self.command("run", "--bundle", bundle, "--pid-file", bundle / "pid", name)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        running = Running(self, container, name, bundle, process)
        self.running.append(running)
        return running

    def run(self, container: Container, timeout: float = 60) -> tuple[int, str]:
        """Runs it to its end: the exit code, and what it said."""
        running = self.start(container)
        code = running.wait(timeout)
        return code, running.said()

    def end(self) -> None:
        """Ends what is still there, and takes its traces away."""
        for running in self.running:
            running.remove()


@dataclasses.dataclass
class Running:
    """A container that was started."""

    runtime: Runtime
    container: Container
    name: str
    bundle: pathlib.Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """Of its process 1, as seen from here; waits until there is one."""
        file = self.bundle / "pid"
        for _ in range(400):
            if file.exists() and file.read_text():
                return int(file.read_text())
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not start: {self.said()}")

    def said(self) -> str:
        return (self.bundle / "out").read_text() + (self.bundle / "err").read_text()

    def wait(self, timeout: float = 60) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end: {self.said()[-2000:]}") from None

    def signal(self, name: str) -> None:
        subprocess.run(self.runtime.command("kill", self.name, name), timeout=30, check=True)

    def exec(self, *arguments: str, timeout: float = 60) -> tuple[int, str]:
        """Runs another process in it, as `kubectl exec` does."""
        file = self.bundle / "exec.json"
        file.write_text(json.dumps(self.container.process(list(arguments))))
        command = self.runtime.command("exec", "--process", file, self.name)
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False)
        return ran.returncode, (ran.stdout + ran.stderr).strip()

    def memory(self) -> tuple[int, int]:
        """The most that it held, the page cache included, and its limit, in bytes."""
        command = self.runtime.command("events", "--stats", self.name)
        stats = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)
        usage = stats["data"]["memory"]["usage"]
        return usage.get("max") or usage["usage"], usage["limit"]

    def remove(self) -> None:
        command = self.runtime.command("delete", "--force", self.name)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.bundle, ignore_errors=True)
