"""How much the environments cost that a change does not touch: `python bench/environments.py`; prints a table.

A generated repository of N overlays of one base is reviewed where one overlay changes: with all N there, and with that one alone.
CPU seconds are of netreach and of whatever it starts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKLOADS = 20
NAMES = [f"service-{index:02}" for index in range(WORKLOADS)]


def workload(name: str, client: str) -> str:
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: main, image: "registry.example/{name}:1", ports: [{{containerPort: 8080}}]}}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec:
  podSelector: {{matchLabels: {{app: {name}}}}}
  policyTypes: [Ingress]
  ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {client}}}}}}}], ports: [{{port: 8080}}]}}]
"""


def repository(root: Path, kind: str, count: int) -> None:
    """A repository on branch main, and a branch `change` that touches the first environment alone."""
    files: dict[str, str] = {}
    clients = [*NAMES[1:], NAMES[0]]
    if kind == "kustomize":
        files |= {f"base/{name}.yaml": workload(name, client) for name, client in zip(NAMES, clients, strict=True)}
        files["base/kustomization.yaml"] = "resources:\n" + "".join(f"- {name}.yaml\n" for name in NAMES)
        for index in range(count):
            files[f"clusters/c{index:02}/kustomization.yaml"] = (
                f"resources: [../../base]\nlabels: [{{pairs: {{cluster: c{index}}}}}]\n"
            )
        changed = "clusters/c00/kustomization.yaml"
        operation = '[{"op": "replace", "path": "/spec/podSelector", "value": {}}]'
        more = f"patches:\n- target: {{kind: NetworkPolicy, name: service-00}}\n  patch: '{operation}'\n"
    else:
        files["chart/Chart.yaml"] = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
        files |= {
            f"chart/templates/{name}.yaml": workload(name, client) for name, client in zip(NAMES, clients, strict=True)
        }
        files["chart/templates/service-00.yaml"] = workload(NAMES[0], "{{ .Values.client }}")
        files["chart/values.yaml"] = "client: service-01\n"
        for index in range(count):
            files[f"chart/values-c{index:02}.yaml"] = f"cluster: c{index}\n"
        changed, more = "chart/values-c00.yaml", "client: service-02\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "main")
    git(root, "checkout", "-q", "-b", "change")
    with (root / changed).open("a") as stream:
        stream.write(more)
    git(root, "commit", "-q", "-a", "-m", "change")


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def measure(root: Path, runs: int) -> tuple[float, float]:
    """The fewest seconds of CPU and of time that a review took."""
    found = []
    command = [
        sys.executable,
        "-m",
        "bot",
        "diff",
        "main",
        "change",
        "--repo",
        str(root),
        "--quiet",
        "--format",
        "json",
    ]
    for _ in range(runs):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parent.parent, env=dict(os.environ))
        after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        if done.returncode or done.stdout.count(b'"opened"') < 2:
            raise SystemExit(done.stderr.decode() or "nothing opened")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((cpu, end - start))
    return min(cpu for cpu, _ in found), min(seconds for _, seconds in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environments", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(
        "| | one environment: CPU, time | "
        f"{options.environments}, one changes: CPU, time | factor of CPU |\n|---|--:|--:|--:|"
    )
    for kind in ("kustomize", "helm"):
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for count in (1, options.environments):
                root = Path(folder, f"{kind}-{count}")
                repository(root, kind, count)
                found.append(measure(root, options.runs))
        (alone, least), (many, longest) = found
        print(f"| {kind} | {alone:.2f} s, {least:.2f} s | {many:.2f} s, {longest:.2f} s | {many / alone:.2f} |")


if __name__ == "__main__":
    main()
