"""A step of GitHub Actions in (its variables and its event's payload), the review with all that shows it there, and the exit code, out.

The gate needs `contents: read` and nothing else: only the comment needs more, and where the token has no right to it, that is said and
changes nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import GitError, NetreachError, PublishError, UsageError
from bot.github.inputs import Inputs, Run, inputs, payload, run

if TYPE_CHECKING:
    from github.Repository import Repository

    from bot.github.comment import Published
    from bot.github.events import Target
    from bot.review import Review, Settings

SUMMARY = 1_000_000
Parse = Callable[[list[str]], "Settings"]


class Sides(NamedTuple):
    """Both sides as commits of the workspace; `name` is what people call the base."""

    name: str
    base: str
    head: str


def main(environ: Mapping[str, str], parse: Parse) -> int:
    """Run the step. `parse`: settings from options of `netreach diff`. Returns the exit code; raises NetreachError once it is told."""
    step = run(environ)
    try:
        return _run(step, inputs(environ), parse)
    except NetreachError as error:
        from bot.report.annotations import Annotation
        from bot.report.github import command

        _print(command(Annotation("failure", "", 0, 0, "netreach could not analyse this", str(error))) + "\n")
        _outputs(step, {"verdict": "error", "exit-code": str(error.exit_code)})
        raise


def _run(step: Run, given: Inputs, parse: Parse) -> int:
    from bot.gate.verdict import exit_code

    target = _target(step, given)
    if target is None:
        _print("netreach: nothing to do, there is no open pull request whose head this run was for\n")
        _outputs(step, {"verdict": "none", "exit-code": "0"})
        return 0
    sides = _sides(step, given, target)
    # A stranger's charts are not run, nor anyone's where a job has secrets.
    given = given._replace(render=given.render and target.trusted and step.event != "pull_request_target")
    review = _review(step, given, sides, parse)
    code = exit_code(review.verdict, on_incomplete=review.on_incomplete)
    link = f"{step.server}/{step.repository}/blob"
    files = _show(step, given, review, link)
    if target.pull is not None and given.comment != "off":
        published, failed = _comment(step, given, review, link, target)
        if failed is not None and code == 0:
            code = failed.exit_code
        files["comment-url"] = published.url if published else ""
    _outputs(step, {**_values(review), **files, "exit-code": str(code)})
    return code


def _target(step: Run, given: Inputs) -> Target | None:
    from bot.github import events

    if given.base and given.head:
        found = events.Target(given.base, given.head, None, True)
        if step.event not in events.PULL_REQUEST_EVENTS:
            return found
    elif given.base or given.head:
        raise UsageError("give base and head, or neither")
    event = payload(step.event_path)
    repository = _repository(step, given) if step.event == "workflow_run" and given.token else None
    of_event = events.target(step.event, event, repository)
    if given.base and of_event is not None:
        return of_event._replace(base=given.base, head=given.head)
    return of_event


def _repository(step: Run, given: Inputs) -> Repository:
    from bot.github.client import connect

    return connect(given.token, step.api).get_repo(step.repository)


# --- The two sides ---


def _sides(step: Run, given: Inputs, target: Target) -> Sides:
    """Both commits, fetched where they are not there. Raises GitError."""
    from bot.sources.fetch import run as git

    if given.base:
        base, head = (git(step.workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
                      for ref in (target.base, target.head))  # fmt: skip
        if not base or not head:
            raise GitError(f"{target.head if base else target.base} is no commit in the workspace: fetch it first")
        return Sides(given.base, base, head)
    head = _fetched(step, given, target.head, "refs/netreach/head", target.pull)
    if target.base_sha:
        return Sides(target.base, _fetched(step, given, target.base_sha, "refs/netreach/base", None), head)
    refspec = f"+refs/heads/{target.base}:refs/netreach/base"
    try:
        _fetch(step, given, refspec)
        base = git(step.workspace, "rev-parse", "--verify", "--quiet", "refs/netreach/base^{commit}")
    except GitError as error:
        base = git(step.workspace, "rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{target.base}^{{commit}}")
        if not base:
            raise
        _notice(f"{error}; the base is {target.base} as it was checked out, {base[:7]}")
    return Sides(target.base, base, head)


def _fetched(step: Run, given: Inputs, sha: str, ref: str, pull: int | None) -> str:
    """The commit, there or fetched: by its id, else as the head of its pull request. Raises GitError."""
    from bot.sources.fetch import run as git

    if git(step.workspace, "rev-parse", "--is-shallow-repository") != "true" and _has(step, sha):
        return sha
    refspecs = [f"+{sha}:{ref}"] + ([f"+refs/pull/{pull}/head:{ref}"] if pull is not None else [])
    for index, refspec in enumerate(refspecs):
        try:
            _fetch(step, given, refspec)
        except GitError:
            if index == len(refspecs) - 1:
                raise
        if _has(step, sha):
            return sha
    raise GitError(f"{sha[:12]} is not to be had any more: the pull request has moved on")


def _has(step: Run, sha: str) -> bool:
    from bot.sources.fetch import run as git

    return git(step.workspace, "cat-file", "-t", sha) == "commit"


def _fetch(step: Run, given: Inputs, refspec: str) -> None:
    from bot.sources.fetch import fetch

    fetch(step.workspace, "origin", [refspec], step.server, given.token, whole=True)


# --- The review ---


def _review(step: Run, given: Inputs, sides: Sides, parse: Parse) -> Review:
    """The review of the two commits, named as the command in the footer names them. Raises NetreachError."""
    from bot.review import Refs, review_refs

    settings = parse([*given.arguments(), *([] if given.render else ["--render=off"])])
    asked = settings._replace(config=given.config or None)
    if given.config:
        settings = settings._replace(config=_config(step, given, sides))
    found = review_refs(Refs(step.workspace, sides.base, sides.head, given.mode), settings)
    notes = []
    for note in found.notes:
        for sha in (sides.base, sides.head):
            note = note.replace(sha, sha[:12])
        notes.append(note)
    return found._replace(base=found.base._replace(ref=sides.name), asked=asked, notes=tuple(notes))


def _config(step: Run, given: Inputs, sides: Sides) -> str:
    """The config as it is on the base side: a pull request cannot change its own gate."""
    from bot.sources.fetch import run as git

    if not git(step.workspace, "cat-file", "-t", f"{sides.base}:{given.config}"):
        raise UsageError(f"config: {sides.name} has no file {given.config}")
    text = git(step.workspace, "show", f"{sides.base}:{given.config}")
    file = os.path.join(step.temporary, f"netreach-{os.getpid()}.yml")
    _write(file, text + "\n")
    return file


def _values(review: Review) -> dict[str, str]:
    from bot.gate.verdict import blocks

    every = review.environments
    changes = [change for environment in every for change in environment.changes]
    return {
        "verdict": review.verdict,
        "opened": str(sum(environment.totals.opened for environment in every)),
        "closed": str(sum(environment.totals.closed for environment in every)),
        "groups": str(len(changes)),
        "blocked": str(sum(blocks(change, review.fail_on) for change in changes)),
        "lint-new": str(sum(len(environment.lint.new) for environment in every if environment.lint is not None)),
        "incomplete": str(sum(len(environment.incomplete) for environment in every)),
        "base-sha": review.base.sha or "",
        "head-sha": review.head.sha or "",
        "merge-tree": review.merge_tree,
    }


# --- What shows it ---


def _show(step: Run, given: Inputs, review: Review, link: str) -> dict[str, str]:
    """The log, the annotations, the summary and the files; the outputs that say where these are."""
    from bot.report import github, json, markdown, sarif, text

    token = os.urandom(16).hex()
    log = text.plain(text.review(review, verbose=False))
    _print(f"::stop-commands::{token}\n{log}\n::{token}::\n")
    if given.annotations:
        _print(github.review(review, given.annotations))
    if given.summary and step.step_summary:
        _append(step.step_summary, markdown.review(review, link, SUMMARY))
    out: dict[str, str] = {}
    files = []
    if given.report_dir:
        folder = os.path.join(step.workspace, given.report_dir)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UsageError(f"report-dir: {error.strerror or error}") from None
        files += [
            ("report-json", os.path.join(folder, "report.json"), json.dumps(json.review(review))),
            ("report-md", os.path.join(folder, "report.md"), markdown.review(review, link)),
        ]
    if given.sarif_file:
        files.append(("sarif-file", os.path.join(step.workspace, given.sarif_file), sarif.review(review)))
    for name, file, content in files:
        _write(file, content)
        out[name] = file
    return out


def _comment(
    step: Run, given: Inputs, review: Review, link: str, target: Target
) -> tuple[Published | None, PublishError | None]:
    """The comment, and why there is none; missing rights are no failure."""
    from bot.github import comment
    from bot.github.client import Refused, connect

    if not given.token:
        _notice("no comment: there is no github-token")
        return None, None
    try:
        client = connect(given.token, step.api)
        base_ref = "" if given.base else target.base
        what = comment.statement(review, target.pull or 0, link, base_ref, given.comment_key)
        own = comment.author(client, given.token)
        done = comment.publish(client.get_repo(step.repository), what, own, given.comment, given.comment_when)
    except Refused as error:
        if error.kind == "forbidden":
            _notice(
                f"{error}. The gate does not need it. To get the comment: permissions: pull-requests: write; for forks and "
                "Dependabot see docs/action.md"
            )
            return None, None
        _notice(str(error))
        return None, error
    _print(f"netreach: comment {done.done}{f', {done.why}' if done.why else ''}{f' {done.url}' if done.url else ''}\n")
    return done, None


def _notice(text: str) -> None:
    from bot.report.annotations import Annotation
    from bot.report.github import command

    _print(command(Annotation("notice", "", 0, 0, "netreach", text)) + "\n")


def _outputs(step: Run, values: Mapping[str, str]) -> None:
    """Scalars and file names only, each on one line."""
    from bot.report.escape import plain

    if step.output:
        _append(step.output, "".join(f"{name}={plain(value, 1000)}\n" for name, value in values.items()))


def _append(file: str, text: str) -> None:
    try:
        with open(file, "a", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from None


def _write(file: str, text: str) -> None:
    try:
        with open(file, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}") from None


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
