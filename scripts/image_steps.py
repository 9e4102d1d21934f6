"""deploy/Dockerfile and a folder with a Debian in, its steps run in there as root by chroot, and the App started as the image would, out.

`sudo python scripts/image_steps.py FOLDER`, after `debootstrap --variant=minbase --include=python3,python3-venv bookworm FOLDER`. For
machines without a container engine. What differs from a build: Debian's Python in place of the python image's, both stages in one root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from time import sleep, time

ROOT = Path(__file__).resolve().parent.parent
KEY = ["openssl", "genrsa", "2048"]
# The root is read-only, as it may be in earnest; /tmp and /data are not.
CAGE = """
set -e
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
for folder in tmp data; do mount -t tmpfs -o mode=1777 tmpfs "$0/$folder"; done
mount -t proc proc "$0/proc"
mount --bind /dev "$0/dev"
exec chroot --userspec="$1" "$0" /usr/bin/env -i "${@:2}"
"""


def instructions(text: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with what it says."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def main(folder: Path) -> int:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    place, user, entry, command, health = "/", "0:0", [], [], []
    # How this machine gets to package indexes: its proxies, and the certificate authorities that it trusts.
    network = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or name == "PIP_CERT"}
    if network.get("PIP_CERT"):
        copied(Path(network["PIP_CERT"]), folder / network["PIP_CERT"].lstrip("/"))
    (folder / "usr/local/bin/python").unlink(missing_ok=True)
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    for name, said in instructions((ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")):
        print(f"{name} {said[:110]}", flush=True)
        if name == "FROM":
            place = "/"
        elif name == "ENV":
            for part in shlex.split(said):
                variable, _, value = part.partition("=")
                environment[variable] = value.replace("$PATH", environment["PATH"])
        elif name == "WORKDIR":
            place = said
            (folder / said[1:]).mkdir(parents=True, exist_ok=True)
        elif name == "COPY" and not said.startswith("--from"):
            *sources, target = said.split()
            into = folder / os.path.join(place, target).lstrip("/")
            for source in sources:
                copied(ROOT / source, into / source if target.endswith((".", "/")) else into)
        elif name == "RUN":
            done = subprocess.run(
                ["chroot", str(folder), "/bin/sh", "-c", f"cd {place} && {said}"], env=network | environment, check=False
            )
            if done.returncode:
                return done.returncode
        elif name == "USER":
            user = said
        elif name == "ENTRYPOINT":
            entry = json.loads(said)
        elif name == "CMD":
            command = json.loads(said)
        elif name == "HEALTHCHECK":
            health = json.loads(said.partition("CMD ")[2])
    return started(folder, user, environment, entry, command, health)


def copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def started(
    folder: Path, user: str, environment: dict[str, str], entry: list[str], command: list[str], health: list[str]
) -> int:
    """Start it as the image would, with a key and a secret; ask as the health check does; end it with a signal."""
    key = folder / "etc" / "netreach-trial.pem"
    key.write_bytes(subprocess.run(KEY, capture_output=True, check=True).stdout)
    key.chmod(0o644)
    given = {"NETREACH_APP_ID": "1", "NETREACH_PRIVATE_KEY_FILE": "/etc/netreach-trial.pem", "NETREACH_WEBHOOK_SECRET": "trial"}
    variables = [f"{name}={value}" for name, value in (environment | given).items()]

    def inside(words: list[str]) -> list[str]:
        return ["unshare", "--mount", "bash", "-c", CAGE, str(folder), user, *variables, *words]

    tried = "import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/opt/netreach', os.W_OK), os.access('/data', os.W_OK))"
    looked = subprocess.run(inside(["python", "-c", tried]), capture_output=True, text=True, check=False)
    print(f"user, root writable, program writable, data writable: {looked.stdout.strip() or looked.stderr.strip()}")
    begun = time()
    running = subprocess.Popen(inside(["sh", "-c", 'cd /data && exec "$@"', "sh", *entry, *command]))
    try:
        for _ in range(60):
            sleep(0.5)
            if running.poll() is not None:
                break
            if subprocess.run(inside(health), capture_output=True, check=False).returncode == 0:
                print(f"healthy after {time() - begun:.1f} s")
                break
        else:
            print("never healthy")
            return 1
    finally:
        key.unlink()
        running.terminate()
        code = running.wait(20)
    print(f"ended with {code} on SIGTERM")
    return 0 if code == 0 and looked.stdout.split() == ["65532", "False", "False", "True"] else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or os.geteuid() != 0:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
