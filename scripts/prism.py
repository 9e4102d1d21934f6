"""Prism between our client and the tests' local GitHub in, what Prism says of every request and response out.

`make prism` (needs npm). Prism reads GitHub's published description independently of tests/github/local.py, and refuses what does not fit
it, requests and responses alike. Exit 1 if it found anything but the one mistake that is planted. GraphQL is not described there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from socket import create_connection
from time import sleep

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "prism"
PORT = 4010
sys.path.insert(0, str(ROOT))

from bot.github import checks, comment, events  # noqa: E402
from bot.github.client import connect  # noqa: E402
from tests.github.conftest import QUICK  # noqa: E402
from tests.github.local import BOT, REPOSITORY, GitHub, running  # noqa: E402
from tests.report import reviews  # noqa: E402

LINK = f"https://github.com/{REPOSITORY}/blob"
OLD, NEW = "a" * 40, "c" * 40


def everything(github: GitHub) -> None:
    """Every call that the client makes: comments in all modes, a check's life with many annotations, a workflow run's pull request."""
    client = connect("ghs_actions", github.url, QUICK)
    repository = client.get_repo(REPOSITORY)
    for index, mode in enumerate(comment.MODES[:-1]):
        github.comments.clear()
        for head, value in ((OLD, reviews.LOOK), (NEW, reviews.BLOCKED), (OLD, reviews.PASS)):
            github.pull(482, head)
            what = comment.statement(value, 482, LINK)._replace(head=head, base_ref="main" if index else "")
            comment.publish(repository, what, BOT, mode, settle=0)
    run = checks.start(repository, NEW, checks.external_id(482, OLD), details_url="https://netreach.example/1")
    checks.progress(run, "comparing")
    rows = checks.outcome(reviews.BLOCKED, LINK).annotations * 60
    checks.finish(run, checks.outcome(reviews.BLOCKED, LINK)._replace(annotations=rows[:120]))
    checks.cancel(checks.start(repository, OLD, "x"), "a newer head")
    checks.find(repository, NEW, checks.external_id(482, OLD))
    head = {"event": "pull_request", "head_sha": OLD, "head_branch": "topic"}
    events.target("workflow_run", {"workflow_run": {**head, "head_repository": {"owner": {"login": "acme"}}}}, repository)
    # One that is wrong: whether Prism would say so.
    client.requester.requestJson("POST", f"/repos/{REPOSITORY}/issues/482/comments", input={"text": "no body"})


def main() -> int:
    with running() as github:
        log = (FOLDER / "prism.log").open("w+", encoding="utf-8")
        description = "node_modules/@octokit/openapi/generated/api.github.com.json"
        upstream, github.url = github.url, f"http://127.0.0.1:{PORT}"
        command = ["node_modules/.bin/prism", "proxy", "--errors", "-p", str(PORT), description, upstream]
        prism = subprocess.Popen(command, cwd=FOLDER, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait()
            everything(github)
        finally:
            prism.terminate()
            prism.wait()
        log.seek(0)
        text = log.read()
    text = text[text.index("is listening") :]
    complaints = [line[:300] for line in text.splitlines() if re.search(r"Violation|✖", line) and "/graphql" not in line]
    planted = [line for line in complaints if "UNPROCESSABLE_ENTITY" in line][-1:]
    seen = {f"{call.method} {re.sub(r'[0-9a-f]{40}|[0-9]+', 'N', call.path)}" for call in github.calls}
    print("\n".join(sorted(seen)))
    print(f"{len(github.calls)} requests through Prism, {len(complaints) - len(planted)} complaints")
    print("\n".join(line for line in complaints if line not in planted))
    return 0 if planted and complaints == planted else 1


def wait() -> None:
    for _ in range(240):
        try:
            create_connection(("127.0.0.1", PORT), 1).close()
            return
        except OSError:
            sleep(0.5)
    raise SystemExit("Prism does not start, see tests/prism/prism.log")


if __name__ == "__main__":
    sys.exit(main())
