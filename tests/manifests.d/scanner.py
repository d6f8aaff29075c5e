"""checkov, without a network, over every bundle in one run."""

import json
import pathlib
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).parent


def scan(folder: pathlib.Path) -> dict[str, list[tuple[str, str]]]:
    """The failed checks of each file: their id and the object's name."""
    program = pathlib.Path(sys.executable).with_name("checkov")
    command = [sys.executable, program, "--framework", "kubernetes", "--skip-download", "--quiet", "-o", "json", "-d", folder]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    try:
        report = json.loads(ran.stdout)
        results, passed = report["results"], report["summary"]["passed"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"checkov did not report: {error!r}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}") from error
    if results.get("parsing_errors") or passed == 0:
        raise SystemExit(f"checkov read nothing, or not all: {results.get('parsing_errors')}")
    found: dict[str, list[tuple[str, str]]] = {path.stem: [] for path in folder.iterdir()}
    for check in results["failed_checks"]:
        found[pathlib.Path(check["file_path"]).stem].append((check["check_id"], check["resource"]))
    return found


class Waivers:
    """What is not followed, and whether it is still found."""

    def __init__(self) -> None:
        self.rows = tomllib.loads((HERE / "waivers.toml").read_text())["waiver"]
        self.used = [False] * len(self.rows)
        for row in self.rows:
            assert len(row["reason"]) > 20, f"{row['check']} is waived without a reason"

    def cover(self, bundle: str, check: str) -> bool:
        covered = False
        for index, row in enumerate(self.rows):
            if row["check"] == check and row.get("bundle", bundle) == bundle:
                self.used[index] = covered = True
        return covered

    def unused(self) -> list[str]:
        return [row["check"] for row, used in zip(self.rows, self.used, strict=True) if not used]
