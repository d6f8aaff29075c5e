"""What k8s/image/Dockerfile says: how the binary is built, and what the last stage makes of it."""

import dataclasses
import json
import pathlib
import re
import shlex


@dataclasses.dataclass(frozen=True)
class Image:
    """The last stage, and the words of the stage before it: the tools that it installs, and the build."""

    tools: list[list[str]]
    build: list[str]
    base: str
    copies: list[tuple[str, str]]
    user: tuple[int, int]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]

    @property
    def binary(self) -> pathlib.PurePosixPath:
        """Where the binary is in the image."""
        return pathlib.PurePosixPath(self.copies[0][1])

    @property
    def debian(self) -> int:
        """The release of Debian that the base is made of."""
        found = re.fullmatch(r"gcr\.io/distroless/cc-debian(\d+):nonroot", self.base)
        assert found, f"{self.base} is not the image that is assembled here"
        return int(found[1])


def read(path: pathlib.Path) -> Image:
    """Anything that is not understood fails: what is not assembled here would not be proved."""
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)).splitlines()
    instructions = [tuple(line.split(None, 1)) for line in lines if line.strip()]
    last = max(at for at, (word, _) in enumerate(instructions) if word == "FROM")
    runs = " && ".join(rest for word, rest in instructions if word == "RUN")
    tools, build = (re.findall(words, runs) for words in (r"cargo install [^&]*", r"cargo (?:auditable )?build [^&]*"))
    assert len(build) == 1, "the Dockerfile builds one thing"
    known = {"FROM", "ARG", "LABEL", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "HEALTHCHECK"}
    stage: dict[str, list[str]] = {word: [] for word in known}
    for word, rest in instructions[last:]:
        assert word in known, f"{word} in the last stage: nothing here knows what becomes of it"
        stage[word].append(rest)
    copies = [re.fullmatch(r"--from=build (\S+) (\S+)", rest) for rest in stage["COPY"]]
    assert len(copies) == 1 and copies[0], "the last stage takes one file, from the build"
    user, group = map(int, stage["USER"][-1].split(":"))
    return Image(
        tools=[shlex.split(tool) for tool in tools],
        build=shlex.split(build[0]),
        base=stage["FROM"][0],
        copies=[(copies[0][1], copies[0][2])],
        user=(user, group),
        entrypoint=json.loads(stage["ENTRYPOINT"][-1]),
        command=json.loads(stage["CMD"][-1]),
        healthcheck=json.loads(stage["HEALTHCHECK"][-1].partition("CMD ")[2]),
    )
