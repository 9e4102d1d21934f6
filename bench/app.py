"""Speed of the GitHub App on this machine: how long a webhook's answer takes, and how long from a delivery to its comment.

    python bench/app.py [--database sqlite|postgresql] [--queued 1000] [--runs 20] [--workloads 1000]

The App runs as in earnest (its own processes, real HTTP, a real Git server on loopback, one write a second); GitHub is the local one of the
tests, which holds every request to GitHub's own description. Nothing here passes or fails: bars stand beside the figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tests.conftest import Git  # noqa: E402
from tests.server.github import BOT, AppGitHub, running  # noqa: E402
from tests.server.postgres import cluster  # noqa: E402
from tests.server.system import environment, pull_event, send, system  # noqa: E402

HERTZ = os.sysconf("SC_CLK_TCK")
SHAPES = {1_000: (50, 20), 500: (20, 25)}


def answers(github: AppGitHub, folder: Path, database: str, queued: int, worker: bool) -> None:
    """How long answers take with so many jobs queued; all that waits is of pull requests that nobody looks at."""
    work = github.host("acme/webhooks", 600, folder)
    head = work.commit({"a": "a"})
    work.run("push", "-q", "origin", "main")
    payloads = []
    for number in range(1, 201):
        github.pull(number, head, repository="acme/webhooks")
        payloads.append(pull_event(github, number, "synchronize"))
    with system(environment(github, folder, database), folder, int(worker)) as app:
        for index in range(queued):
            assert app.send("pull_request", payloads[index % 200])[0] == 202

        def one(index: int) -> float:
            begun = time.perf_counter()
            status, _ = send(app.url, "pull_request", payloads[index % 200])
            assert status == 202
            return time.perf_counter() - begun

        for senders in (1, 8):
            with ThreadPoolExecutor(senders) as threads:
                took = sorted(threads.map(one, range(1000)))
            p50, p99 = took[499] * 1000, took[989] * 1000
            beside = "a worker beside it" if worker else "no worker"
            print(
                f"  {senders} at once, {queued:,} queued before, {beside}: median {p50:.1f} ms, p99 {p99:.1f} ms"
                f" (bar: p99 under 200 ms), slowest {took[-1] * 1000:.0f} ms",
                flush=True,
            )


def comments(github: AppGitHub, folder: Path, database: str, runs: int, workloads: int) -> None:
    """From the delivery to the comment, each time for another commit that opens paths."""
    namespaces, each = SHAPES[workloads]
    base, head = folder / "base", folder / "head"
    subprocess.run(
        [sys.executable, str(HERE / "gen.py"), "--namespaces", str(namespaces), "--workloads-per-ns", str(each),
         "--policies-per-ns", "8", "--seed", "7", "--out", str(base), "--head", str(head)],
        check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    work = github.host("acme/platform", 500, folder)
    shutil.copytree(base, work.root / "k8s")
    work.commit()
    work.run("push", "-q", "origin", "main")
    work.run("checkout", "-q", "-b", "topic")
    shutil.rmtree(work.root / "k8s")
    shutil.copytree(head, work.root / "k8s")
    settings = environment(github, folder, database, NETREACH_WRITE_MILLISECONDS="1000")
    with system(settings, folder, 1) as app:
        pid = app.workers[0].process.pid
        took, cost = [], []
        for run in range(runs + 1):
            commit = _commit(work, run)
            number = 100 + run
            github.pull(number, commit)
            before, begun = _cpu(pid), time.monotonic()
            assert app.send("pull_request", pull_event(github, number, "opened"))[0] == 202
            app.wait(lambda number=number: bool(github.bodies(number, BOT)), 60)  # type: ignore[misc]
            if run:  # the first brings the repository
                took.append(time.monotonic() - begun)
            app.wait(lambda commit=commit: github.checks(commit)[-1]["status"] == "completed", 60)  # type: ignore[misc]
            if run:
                cost.append(_cpu(pid) - before)
            else:
                print(f"  the first, with the whole repository to fetch: {time.monotonic() - begun:.2f} s to the finished check")
    took.sort()
    print(
        f"  {workloads:,} workloads, {runs} runs: median {statistics.median(took):.2f} s (bar: 5 s), fastest {took[0]:.2f} s,"
        f" slowest {took[-1]:.2f} s; CPU of the worker and what it starts: median {statistics.median(cost):.2f} s"
    )


def _commit(work: Git, run: int) -> str:
    head = work.commit({"note.txt": f"{run}\n"}, f"run {run}")
    work.run("push", "-q", "origin", "topic")
    return head


def _cpu(pid: int) -> float:
    """CPU seconds of a process and of those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / HERTZ


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--queued", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--workloads", type=int, choices=sorted(SHAPES), default=1000)
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for what in ("answers", "answers beside a worker", "comments"):
        with (
            running() as github,
            tempfile.TemporaryDirectory() as name,
            cluster() if given.database == "postgresql" else nullcontext("") as database,
        ):
            print(f"{given.database}, {what}")
            folder = Path(name)
            if what == "comments":
                comments(github, folder, database, given.runs, given.workloads)
            else:
                answers(github, folder, database, given.queued, what != "answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
