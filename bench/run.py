"""Speed of `netreach diff --dirs` on generated clusters: CPU seconds and peak memory of whole, cold processes.

    python bench/run.py [--sizes 500,1000,10000,50000] [--runs 3] [--changes] [--apis] [--peers]

Beside each figure stands the bare parse (bench/floor.py) of the same run. `--changes` adds cluster-wide changes at each size,
`--apis` the same clusters with half of their policies in another API.
`--peers` runs `nca --semantic_diff` (network-config-analyzer from PyPI, with fastcore<1.9) and netpol-analyzer's `netpolicy diff`
where they are on PATH, at the smallest size. Nothing here passes or fails: bars stand beside the figures.
"""

from __future__ import annotations

import argparse
import compileall
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from apis import APIS

HERE = Path(__file__).resolve().parent
SHAPES = {500: (20, 25), 1_000: (50, 20), 5_000: (200, 25), 10_000: (400, 25), 50_000: (2_000, 25)}
BARS = {500: (0.25, 50), 1_000: (0.40, 60), 10_000: (3.0, 200), 50_000: (16.0, 700)}
CORE_BARS = {10_000: 1.5, 50_000: 10.0}


class Cost(NamedTuple):
    """What one process took: CPU seconds (user and system), peak resident MB, exit status."""

    cpu: float
    megabytes: float
    status: int


def measure(command: Sequence[str], output: Path | None = None) -> Cost:
    """Run a command to its end, its standard output to a file or nowhere."""
    with open(output or os.devnull, "wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(HERE.parent)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status)


def best(command: Sequence[str], runs: int) -> Cost:
    """The cheapest of several runs: what the machine's other work adds is noise."""
    return min((measure(command) for _ in range(runs)), key=lambda cost: cost.cpu)


def netreach(base: Path, head: Path, cni: str = "") -> list[str]:
    """The command under test."""
    return [
        sys.executable,
        "-m",
        "bot",
        "diff",
        "--dirs",
        str(base),
        str(head),
        "--format",
        "json",
        "--quiet",
        "--exit-zero",
        *(["--cni", cni] if cni else []),
    ]


def floor(base: Path, head: Path) -> list[str]:
    """The bare parse of the same folders."""
    return [sys.executable, str(HERE / "floor.py"), str(base), str(head)]


def generate(size: int, folder: Path) -> tuple[Path, Path, int]:
    """A base and a head of `size` workloads, and how many policies differ."""
    namespaces, workloads = SHAPES[size]
    base, head = folder / f"base-{size}", folder / f"head-{size}"
    command = [
        sys.executable,
        str(HERE / "gen.py"),
        "--namespaces",
        str(namespaces),
        "--workloads-per-ns",
        str(workloads),
    ]
    command += ["--policies-per-ns", "12", "--seed", "3", "--out", str(base), "--head", str(head)]
    summary = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return base, head, summary["changed"]


def _documents(folder: Path, change: Callable[[str], str | None]) -> Path:
    """A copy of a folder with every document replaced by what `change` says, or dropped."""
    target = folder.with_name(folder.name + "-changed")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file in sorted(folder.glob("*.yaml")):
        kept = [text for text in map(change, file.read_text().split("---\n")) if text is not None]
        (target / file.name).write_text("---\n".join(kept))
    return target


def _is(kind: str, name: str = "") -> Callable[[str], bool]:
    pattern = re.compile(rf"^kind: {kind}$" + (rf"(?s:.*)^  name: {name}$" if name else ""), re.M)
    return lambda text: pattern.search(text) is not None


def without_default_deny(base: Path) -> Path:
    """Every namespace loses its default-deny."""
    matches = _is("NetworkPolicy", "default-deny")
    return _documents(base, lambda text: None if matches(text) else text)


def without_policies(base: Path) -> Path:
    """No policy is left."""
    matches = _is("NetworkPolicy")
    return _documents(base, lambda text: None if matches(text) else text)


def with_a_deny_over_all(base: Path) -> Path:
    """One new policy of the admin tier that denies an address to every pod."""
    target = _documents(base, lambda text: text)
    (target / "admin.yaml").write_text(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: deny-all}\n"
        "spec:\n  tier: Admin\n  priority: 10\n  subject: {namespaces: {}}\n"
        "  ingress:\n  - {name: none, action: Deny, from: [{namespaces: {}}]}\n"
    )
    return target


CHANGES = {
    "every default-deny removed": without_default_deny,
    "all policies deleted": without_policies,
    "a deny over all": with_a_deny_over_all,
}


def slope(costs: dict[int, float], first: int, last: int) -> str:
    """Growth between two sizes: 1.0 is linear."""
    if first not in costs or last not in costs or costs[first] <= 0 or costs[last] <= 0:
        return "-"
    return f"{math.log(costs[last] / costs[first]) / math.log(last / first):.2f}"


def table(sizes: Sequence[int], runs: int, changes: bool, apis: bool, peers: bool) -> None:
    """Print everything asked for."""
    totals: dict[int, float] = {}
    cores: dict[int, float] = {}
    print(
        f"{'workloads':>9}  {'change':28}  {'CPU s':>7}  {'parse s':>7}  {'ratio':>5}  {'core s':>6}  {'MB':>5}  {'rows':>5}  bar"
    )
    with tempfile.TemporaryDirectory(prefix="netreach-bench-") as temporary:
        folder = Path(temporary)
        for size in sizes:
            base, head, changed = generate(size, folder)
            cost, bare = best(netreach(base, head), runs), best(floor(base, head), runs)
            totals[size], cores[size] = cost.cpu, cost.cpu - bare.cpu
            bar = "{} s, {} MB".format(*BARS[size]) if size in BARS else ""
            _line(size, f"1 % ({changed} policies)", cost, bare, _rows(netreach(base, head), folder), bar)
            for name, change in CHANGES.items() if changes else ():
                other = change(base)
                cost, bare = best(netreach(base, other), 1), best(floor(base, other), 1)
                bar = f"core {CORE_BARS[size]} s" if size in CORE_BARS else ""
                _line(size, name, cost, bare, _rows(netreach(base, other), folder), bar)
                shutil.rmtree(other)
            for name, (rewrite, cni) in APIS.items() if apis else ():
                ours = rewrite(base), rewrite(head)
                cost, bare = best(netreach(*ours, cni), runs), best(floor(*ours), runs)
                bar = f"{cost.cpu / totals[size]:.2f} times the NetworkPolicy cost"
                _line(size, name, cost, bare, _rows(netreach(*ours, cni), folder), bar)
                for rewritten in ours:
                    shutil.rmtree(rewritten)
            if peers and size == min(sizes):
                _peers(base, head, totals[size])
            shutil.rmtree(base)
            shutil.rmtree(head)
    print(
        f"growth 1,000 to 50,000: total {slope(totals, 1_000, 50_000)}, without parsing {slope(cores, 1_000, 50_000)}"
    )
    print(f"growth 500 to 5,000: total {slope(totals, 500, 5_000)}")


def _rows(command: Sequence[str], folder: Path) -> int:
    output = folder / "report.json"
    measure(command, output)
    changes = json.loads(output.read_text() or '{"environments": []}')["environments"]
    return sum(1 for environment in changes for change in environment["changes"] if not change.get("alike"))


def _line(size: int, name: str, cost: Cost, bare: Cost, rows: int, bar: str) -> None:
    status = "" if os.waitstatus_to_exitcode(cost.status) == 0 else f"  exit {os.waitstatus_to_exitcode(cost.status)}"
    print(
        f"{size:>9,}  {name:28}  {cost.cpu:7.2f}  {bare.cpu:7.2f}  {cost.cpu / bare.cpu:5.2f}  {cost.cpu - bare.cpu:6.2f}"
        f"  {cost.megabytes:5.0f}  {rows:>5}  {bar}{status}",
        flush=True,
    )


def _peers(base: Path, head: Path, own: float) -> None:
    commands = {
        "nca": [
            "--semantic_diff",
            str(head),
            "-n",
            str(head),
            "-p",
            str(head),
            "--base_np_list",
            str(base),
            "--base_ns_list",
            str(base),
            "--base_pod_list",
            str(base),
        ],
        "netpolicy": ["diff", "--dir1", str(base), "--dir2", str(head), "-q"],
    }
    for name, arguments in commands.items():
        program = shutil.which(name)
        if program is None:
            print(f"           {name}: not on PATH")
            continue
        cost = measure([program, *arguments])
        print(
            f"           {name}: {cost.cpu:.1f} CPU s, {cost.megabytes:.0f} MB, {cost.cpu / own:.0f} times ours",
            flush=True,
        )


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", default="500,1000,5000,10000,50000", type=lambda text: [int(part) for part in text.split(",")]
    )
    parser.add_argument("--runs", default=3, type=int)
    parser.add_argument("--changes", action="store_true", help="cluster-wide changes too")
    parser.add_argument(
        "--apis", action="store_true", help="half of the policies as Cilium's or Calico's, and cluster-wide ones"
    )
    parser.add_argument("--peers", action="store_true", help="nca and netpolicy, at the smallest size")
    options = parser.parse_args()
    # As an installed package has it; otherwise every run compiles all that it imports.
    compileall.compile_dir(HERE.parent / "bot", quiet=1)
    compileall.compile_dir(HERE, quiet=1)
    table(options.sizes, options.runs, options.changes, options.apis, options.peers)


if __name__ == "__main__":
    main()
