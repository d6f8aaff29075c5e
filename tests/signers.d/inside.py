"""A network of one's own, in which Amazon's six names are the sandbox: no byte of a client whose host is hard-coded can leave it.

It takes a user namespace, or root. `enter` runs this file in it. Amazon's names stand in /etc/hosts, which is mounted over for that
process and its children alone; the sandbox listens on port 443 of the loopback, and there is no other network.
"""

import fcntl
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys

import signers
import unchanged
from gateway import Tally, sandbox
from packages import Packages

HOSTS = [f"agcod-v2{region}{stage}.amazon.com" for region in ("", "-eu", "-fe") for stage in ("", "-gamma")]
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def enter(tally: Tally, noshi: str, scratch: pathlib.Path, packages: Packages) -> None:
    """Runs the signers and clients of others in there."""
    space = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if not shutil.which("unshare") or subprocess.run([*space, "true"], capture_output=True).returncode:
        print("skipped the signers and clients of others: they need a network of their own, and unshare makes none here")
        return
    sys.stdout.flush()
    places = [str(place or "") for place in (packages.node, packages.python)]
    ran = subprocess.run([*space, sys.executable, __file__, noshi, str(scratch), *places])
    tally.check("the signers and clients of others were run to the end", ran.returncode == 0, ran.returncode)
    if ran.returncode == 0:
        theirs = json.loads((scratch / "tally").read_text())
        tally.passed, tally.failed = tally.passed + theirs["passed"], tally.failed + theirs["failed"]
        tally.parties |= theirs["parties"]


def main() -> None:
    noshi, scratch = sys.argv[1], pathlib.Path(sys.argv[2])
    packages = Packages(*(pathlib.Path(place) if place else None for place in sys.argv[3:]))
    up_loopback()
    names = scratch / "hosts"
    names.write_text(f"127.0.0.1 localhost {' '.join(HOSTS)}\n")
    subprocess.run(["mount", "--bind", str(names), "/etc/hosts"], check=True)
    tally = Tally()
    secure = ["--tls", "--tls-folder", str(scratch / "tls"), "--listen", "127.0.0.1:443"]
    with sandbox(noshi, scratch, *secure) as said, sandbox(noshi, scratch) as plain:
        signers.run(tally, packages, scratch, said["trust"], plain["gateway"])
        unchanged.run(tally, packages, said)
    (scratch / "tally").write_text(json.dumps(vars(tally)))


def up_loopback() -> None:
    """As `ip link set lo up`, which is not everywhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        flags = struct.unpack("16sh", fcntl.ioctl(asked, SIOCGIFFLAGS, struct.pack("16sh", b"lo", 0)))[1]
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


if __name__ == "__main__":
    main()
