"""The Dockerfile: hadolint, and what it does not know."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

LABELS = ("title", "description", "licenses", "version", "revision", "base.name")


def findings(text: str) -> Iterator[str]:
    yield from hadolint(text)
    instructions = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    stages = [index for index, line in enumerate(instructions) if line.startswith("FROM ")]
    last = instructions[stages[-1] :]
    if len(stages) < 2 or not re.match(r"FROM gcr\.io/distroless/[a-z]+-debian[0-9]+:nonroot$", last[0]):
        yield "the last stage must be distroless, which has no shell"
    users = [line for line in last if line.startswith("USER ")]
    if users[-1:] != ["USER 65532:65532"]:
        yield "must run as 65532:65532, by number"
    if any(line.startswith(("RUN ", "ADD ")) for line in last):
        yield "the last stage takes the binary and runs nothing"
    copies = [line for line in last if line.startswith("COPY ")]
    if len(copies) != 1 or "--from=build" not in copies[0] or "--chown" in copies[0]:
        yield "one file is copied, from the build, and stays root's"
    if 'ENTRYPOINT ["/usr/local/bin/noshi"]' not in last or 'CMD ["serve"]' not in last:
        yield "entry point and command must be lists: there is no shell"
    if not any(re.fullmatch(r'HEALTHCHECK (--\S+ )*CMD \["/usr/local/bin/noshi", "healthcheck", "--live"\]', line) for line in last):
        yield "there must be a health check, a list, that asks for the process only: a restart brings no database back"
    for label in LABELS:
        if f"org.opencontainers.image.{label}=" not in "\n".join(last):
            yield f"no label org.opencontainers.image.{label}"
    if not any(re.search(r"cargo auditable build [^&]*--locked", line) for line in instructions):
        yield "must build what Cargo.lock says, and write into the binary what that is"
    if not any(re.search(r"cargo install --locked cargo-auditable@[0-9.]+$", line) for line in instructions):
        yield "the tool that it is built with must be of one version"
    build, run = (re.search(r"(bookworm|trixie|debian1[23])", line) for line in (instructions[stages[0]], last[0]))
    debian = {"bookworm": "debian12", "trixie": "debian13"}
    if build is None or run is None or debian.get(build[0], build[0]) != run[0]:
        yield "both stages must be of one Debian, or the C library may be too old"


def hadolint(text: str) -> Iterator[str]:
    program = pathlib.Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([program, "--no-color", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode != 0:
        yield f"hadolint: {(ran.stdout + ran.stderr).strip()}"


# Copies of the Dockerfile with one fault each.
FAULTS = {
    "runs as root": ("USER 65532:65532", "USER root"),
    "user by name": ("USER 65532:65532", "USER nonroot"),
    "image with a shell": ("FROM gcr.io/distroless/cc-debian12:nonroot", "FROM debian:12-slim"),
    "another Debian to build than to run": ("rust:1.95-slim-bookworm", "rust:1.95-slim-trixie"),
    "newest of everything": ("rust:1.95-slim-bookworm", "rust:latest"),
    "dependencies as they come": ("build --release --locked", "build --release"),
    "no list of crates": ("cargo auditable build", "cargo build"),
    "the newest tool": ("cargo-auditable@0.7.7", "cargo-auditable"),
    "entry point by a shell": ('ENTRYPOINT ["/usr/local/bin/noshi"]', "ENTRYPOINT /usr/local/bin/noshi"),
    "health check by a shell": ('CMD ["/usr/local/bin/noshi", "healthcheck", "--live"]', "CMD /usr/local/bin/noshi healthcheck --live"),
    "restarts for the database": (', "--live"]', "]"),
    "no health check": ("HEALTHCHECK --interval", "# HEALTHCHECK --interval"),
    "the source in the image": ("COPY --from=build /out/noshi /usr/local/bin/noshi", "COPY . /usr/local/bin"),
    "no revision": ('      org.opencontainers.image.revision="${REVISION}" \\\n', ""),
}
