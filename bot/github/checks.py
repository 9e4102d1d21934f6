"""What a review concluded in, one check run on the pull request's head out (conclusions: docs/action.md).

The life of a check run: `start` (queued), `progress`, then `finish` or `cancel`. Everything may be called again after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import NetreachError
from bot.github.client import Refused, told

if TYPE_CHECKING:
    from github.CheckRun import CheckRun
    from github.Repository import Repository

    from bot.report.annotations import Annotation
    from bot.review import Review

NAME = "netreach"
BATCH = 50
LONGEST = 65_000
ATTEMPTS = 3
_WORST_FIRST = ("failure", "cancelled", "neutral", "success")


class Outcome(NamedTuple):
    """What a finished check run says. `conclusion`: success, neutral, failure or cancelled; `title` is one line, `summary` markdown."""

    conclusion: str
    title: str
    summary: str
    annotations: tuple[Annotation, ...] = ()
    details_url: str = ""
    actions: tuple[tuple[str, str, str], ...] = ()


RERUN = ("Re-run", "Compare again", "re-run")
"""Label (20 characters), description (40) and identifier (20) of a button."""


def conclusion(verdict: str, on_incomplete: str = "fail") -> str:
    """A required check passes with success and neutral; what could not be analysed is neither, unless that was set."""
    if verdict == "incomplete":
        return "neutral" if on_incomplete == "warn" else "failure"
    return {"pass": "success", "allowed": "success", "look": "neutral"}.get(verdict, "failure")


def worse(conclusions: Iterable[str]) -> str:
    """What to conclude for a head that several pull requests share."""
    return min(conclusions, key=_WORST_FIRST.index, default="success")


def external_id(number: int, base: str, config: str = "") -> str:
    """`pr:482;base:9f31c02be415;cfg:...`: which comparison a check run is of (a head may have several)."""
    return f"pr:{number};base:{base[:12]};cfg:{config[:12]}"


def outcome(review: Review, link: str | None = None, most: int = BATCH, details_url: str = "") -> Outcome:
    """What a check run says of a review, with at most `most` annotations."""
    from bot.report import annotations, markdown

    body = markdown.review(review, link)
    title = body.partition("\n")[0].removeprefix("### ").partition("netreach: ")[2]
    return Outcome(
        conclusion(review.verdict, review.on_incomplete),
        title.replace("`", "")[:250],
        body,
        tuple(row for row in annotations.review(review, most) if row.file),
        details_url,
        (RERUN,),
    )


def failed(error: NetreachError) -> Outcome:
    """What a check run says where there is no review: never a pass."""
    from bot.report.escape import prose

    return Outcome("failure", "could not analyse", prose(str(error), 4000), actions=(RERUN,))


def start(repository: Repository, head: str, identity: str, name: str = NAME, details_url: str = "") -> CheckRun:
    """A queued check run of this identity (`external_id`) on the commit `head`: the one there is, unless it is finished. Raises Refused."""
    found = find(repository, head, identity, name)
    if found is not None and found.status != "completed":
        return found
    given: dict[str, Any] = {"details_url": details_url} if details_url else {}
    for attempt in range(ATTEMPTS):
        try:
            with told(f"create the check {name} on {head[:7]}"):
                return repository.create_check_run(name, head, external_id=identity, status="queued", **given)
        except Refused as error:
            if not error.uncertain or attempt == ATTEMPTS - 1:
                raise
        again = find(repository, head, identity, name)
        if again is not None and (found is None or again.id != found.id):
            return again
    raise AssertionError("every attempt returns or raises")


def find(repository: Repository, head: str, identity: str, name: str = NAME) -> CheckRun | None:
    """The newest check run of this identity on the commit, if there is one. Raises Refused."""
    with told(f"read the checks of {head[:7]}"):
        runs = repository.get_commit(head).get_check_runs(check_name=name, filter="all")
        return max((run for run in runs if run.external_id == identity), key=lambda run: run.id, default=None)


def runs(repository: Repository, head: str, slug: str) -> list[CheckRun]:
    """Every check run that the App `slug` has on a commit, whatever it is called; the newest last. Raises Refused."""
    with told(f"read the checks of {head[:7]}"):
        found = repository.get_commit(head).get_check_runs(filter="all")
        return sorted((run for run in found if run.app is not None and run.app.slug == slug), key=lambda run: run.id)


def progress(run: CheckRun, words: str, **more: str) -> None:
    """Say that it is being worked on, and at what; `more`: name or external_id, now that they are known. Raises Refused."""
    _patch(run, {"status": "in_progress", "output": {"title": words[:250], "summary": words}, **more})


def finish(run: CheckRun, what: Outcome) -> None:
    """The annotations in their order, 50 a request, the conclusion once with the last of them. Raises Refused.

    An update appends its annotations: before a request is repeated, the check run is read for what it has.
    """
    rows = [_annotation(row) for row in what.annotations]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)] or [[]]
    output = {"title": what.title[:250] or NAME, "summary": _cut(what.summary)}
    last: dict[str, Any] = {"status": "completed", "conclusion": what.conclusion}
    if what.details_url:
        last["details_url"] = what.details_url
    if what.actions:
        last["actions"] = [
            {"label": label, "description": words, "identifier": name} for label, words, name in what.actions
        ]
    with told(f"read the check {run.id}"):
        run.update()
    done = run.output.annotations_count if run.output else 0
    for index, batch in enumerate(batches):
        if batch and (index * BATCH + len(batch)) <= done and index < len(batches) - 1:
            continue
        kept = batch if index * BATCH >= done else batch[max(0, done - index * BATCH) :]
        body: dict[str, Any] = {"output": {**output, "annotations": kept} if kept else output}
        final = index == len(batches) - 1
        _patch(run, {**body, **(last if final else {"status": "in_progress"})}, done + len(kept))
        done += len(kept)


def cancel(run: CheckRun, why: str) -> None:
    """End it without a verdict: a newer head has taken its place. Raises Refused."""
    with told(f"read the check {run.id}"):
        run.update()
    if run.status != "completed":
        finish(run, Outcome("cancelled", why, why))


def _patch(run: CheckRun, body: dict[str, Any], annotations: int = 0) -> None:
    for attempt in range(ATTEMPTS):
        try:
            with told(f"update the check {run.id}"):
                run.edit(**body)
            return
        except Refused as error:
            if not error.uncertain or attempt == ATTEMPTS - 1:
                raise
        with told(f"read the check {run.id}"):
            run.update()
        stored = run.status == body["status"] and run.conclusion == body.get("conclusion")
        if stored and (run.output.annotations_count if run.output else 0) >= annotations:
            return


def _annotation(row: Annotation) -> dict[str, str | int]:
    return {
        "path": row.file,
        "start_line": max(1, row.first),
        "end_line": max(1, row.last),
        "annotation_level": row.level,
        "title": row.title[:255] or NAME,
        "message": row.message or row.title,
    }


def _cut(text: str) -> str:
    """Within what GitHub takes; the text of a review is already."""
    data: Sequence[int] | bytes = text.encode("utf-8", "backslashreplace")
    return text if len(data) <= LONGEST else bytes(data[:LONGEST]).decode("utf-8", "ignore")
