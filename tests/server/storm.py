"""Many deliveries for many pull requests while workers are killed; what every pull request has in the end.

    python -m tests.server.storm [--deliveries 1000] [--pulls 100] [--kills 30] [--database sqlite|postgresql] [--workers 3]

Each pull request must end with exactly one comment and exactly one finished check for its last head, and no other check unfinished.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from bot.github.marker import parse
from tests.server.conftest import FILES, POD
from tests.server.github import BOT, AppGitHub, running
from tests.server.postgres import cluster
from tests.server.system import System, environment, pull_event, system

HEADS = 3


class Plan(NamedTuple):
    deliveries: int = 1000
    pulls: int = 100
    kills: int = 30
    workers: int = 3
    repositories: int = 10
    seconds: float = 1500.0
    seed: int = 1
    apart: float = 0.0  # seconds between two kills; 0: as they come over the whole time


class Result(NamedTuple):
    """`wrong`: what is not as it must be. `sent`: seconds until all was delivered, `whole`: until all was done."""

    wrong: list[str]
    sent: float
    whole: float
    kills: int
    answers: dict[int, int]
    slowest: float
    calls: int
    reviews: int


def storm(plan: Plan, database: str, folder: Path) -> Result:
    chance = random.Random(plan.seed)
    with running() as github:
        heads = repositories(plan, github, folder)
        settings = environment(github, folder, database)
        with system(settings, folder, plan.workers) as app:
            return _run(plan, github, app, heads, chance)


def repositories(plan: Plan, github: AppGitHub, folder: Path) -> dict[int, tuple[str, list[str]]]:
    """Each pull request's repository and successive heads."""
    out = {}
    for index in range(plan.repositories):
        name = f"acme/r{index}"
        work = github.host(name, 500 + index, folder, 70 + index)
        work.commit(dict(FILES))
        work.run("push", "-q", "origin", "main")
        for pull in range(1 + index, plan.pulls + 1, plan.repositories):
            work.run("checkout", "-q", "-b", f"topic-{pull}", "main")
            first = work.commit({"k8s/deny.yaml": None, f"k8s/{pull}.yaml": POD.replace("NAME", "x")}, f"{pull}")
            rest = [work.commit({f"k8s/{pull}-{i}.yaml": POD.replace("NAME", f"y{i}")}, f"{pull} {i}") for i in range(1, HEADS)]
            out[pull] = (name, [first, *rest])
        work.run("push", "-q", "origin", "--all")
    return out


def _run(plan: Plan, github: AppGitHub, app: System, heads: dict[int, tuple[str, list[str]]], chance: random.Random) -> Result:
    answers: dict[int, int] = {}
    took: list[float] = []
    lock = threading.Lock()
    left = dict.fromkeys(heads, plan.deliveries // plan.pulls)

    def deliver(pull: int) -> None:
        """The next webhook of a pull request: it moves on now and then, the others are about the same head."""
        name, commits = heads[pull]
        with lock:
            done = plan.deliveries // plan.pulls - left[pull]
            left[pull] -= 1
            at = min(HEADS - 1, done * HEADS // max(1, plan.deliveries // plan.pulls))
            with github.lock:
                if done == 0:
                    github.pull(pull, commits[0], branch=f"topic-{pull}", repository=name)
                github.pulls[pull]["head"]["sha"] = commits[at]
                payload = pull_event(github, pull, "opened" if done == 0 else "synchronize")
        begun = time.monotonic()
        status, _ = app.send("pull_request", payload, "" if chance.random() < 0.9 else f"again-{pull}-{at}")
        with lock:
            took.append(time.monotonic() - begun)
            answers[status] = answers.get(status, 0) + 1

    order = [pull for pull in heads for _ in range(left[pull])]
    chance.shuffle(order)
    begun = time.monotonic()
    stop = threading.Event()
    killed: list[int] = []
    killer = threading.Thread(target=_kill, args=(plan, app, stop, killed, chance.random()))
    killer.start()
    try:
        with ThreadPoolExecutor(4) as senders:
            list(senders.map(deliver, order))
        sent = time.monotonic() - begun
        until = begun + plan.seconds
        wrong = _wrong(github, heads)
        while (wrong or len(killed) < plan.kills) and time.monotonic() < until:
            time.sleep(0.5)
            wrong = _wrong(github, heads)
        whole = time.monotonic() - begun
        # What is right must stay so: nothing is left to be done that would change it.
        time.sleep(2.0)
        wrong = _wrong(github, heads)
    finally:
        stop.set()
        killer.join()
    if wrong:
        wrong.append(app.logs()[-6000:])
    reviews = sum(run["status"] == "completed" and run["conclusion"] != "cancelled" for run in github.runs.values())
    return Result(wrong, sent, whole, len(killed), answers, max(took), len(github.calls), reviews)


def _kill(plan: Plan, app: System, stop: threading.Event, killed: list[int], seed: float) -> None:
    """Kill one worker after the other, at moments of chance, each to start again at once."""
    chance = random.Random(seed)
    while len(killed) < plan.kills and not stop.wait(chance.uniform(0.3, 1.7) * (plan.apart or 5.0)):
        victim = chance.randrange(len(app.workers))
        app.workers[victim].restart()
        killed.append(victim)


def _wrong(github: AppGitHub, heads: dict[int, tuple[str, list[str]]]) -> list[str]:
    out = []
    with github.lock:
        for pull, (_, commits) in heads.items():
            bodies = github.bodies(pull, BOT)
            markers = [marker for marker in map(parse, bodies) if marker is not None]
            if len(bodies) != 1 or not markers or markers[0].head != commits[-1][:12]:
                out.append(f"{pull}: comments {[(row.head, row.superseded) for row in markers]}")
            runs = github.checks(commits[-1])
            finished = [run for run in runs if run["status"] == "completed" and run["conclusion"] != "cancelled"]
            if len(runs) != 1 or len(finished) != 1:
                out.append(f"{pull}: checks {[(run['status'], run['conclusion'], run['external_id']) for run in runs]}")
            out += [
                f"{pull}: an earlier head's check is {run['status']}"
                for commit in commits[:-1]
                for run in github.checks(commit)
                if run["status"] != "completed"
            ]
        out += github.problems[:3]
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Plan()
    for name in ("deliveries", "pulls", "kills", "workers", "repositories", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--apart", type=float, default=usual.apart)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = vars(parser.parse_args(arguments))
    database = given.pop("database")
    with tempfile.TemporaryDirectory() as folder, cluster() if database == "postgresql" else nullcontext("") as url:
        found = storm(Plan(**given), url, Path(folder))
    print("\n".join(found.wrong) or "every pull request has one comment and one finished check for its last head")
    print(
        f"{database}: {sum(found.answers.values())} deliveries in {found.sent:.1f} s {found.answers}, slowest answer"
        f" {found.slowest * 1000:.0f} ms; {found.kills} kills; all done after {found.whole:.1f} s;"
        f" {found.reviews} reviews, {found.calls} calls to GitHub"
    )
    return int(bool(found.wrong))


if __name__ == "__main__":
    sys.exit(main())
