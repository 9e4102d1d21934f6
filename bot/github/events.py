"""The payload of an event in, which two commits to compare and which pull request to tell out.

Never used: `pull_request.base.sha`, which is as old as the last push, and GITHUB_SHA, which is a merge commit, of the past on a re-run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import PublishError, UsageError

if TYPE_CHECKING:
    from github.Repository import Repository

PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)


class Target(NamedTuple):
    """What to compare. `base`: a branch name (its tip, now), or a commit for a merge group; `head`: a commit id.

    `pull`: the pull request's number, None where there is none to comment on. `trusted` is False for a head from a fork.
    """

    base: str
    head: str
    pull: int | None
    trusted: bool
    base_sha: str = ""


def target(event: str, payload: Mapping[str, Any], repository: Repository | None = None) -> Target | None:
    """What an event is about; None where there is nothing left to look at (the run that is followed is no longer the newest).

    `repository` is asked for the pull request of a workflow run, since nothing that such a run left behind can be trusted. Raises
    UsageError for an event without two sides, PublishError where GitHub does not answer.
    """
    if event in PULL_REQUEST_EVENTS:
        return _pull(_mapping(payload, "pull_request"))
    if event == "merge_group":
        group = _mapping(payload, "merge_group")
        base = str(group.get("base_ref", "")).removeprefix("refs/heads/")
        return Target(base, _sha(group, "head_sha"), None, True, _sha(group, "base_sha"))
    if event == "workflow_run":
        run = _mapping(payload, "workflow_run")
        if run.get("event") not in PULL_REQUEST_EVENTS:
            return None
        if repository is None:
            raise PublishError("a workflow_run needs a github-token that may read pull requests")
        return _of_run(run, repository)
    raise UsageError(f"the event {event or '(none)'} has no two sides to compare: say base and head")


def _pull(pull: Mapping[str, Any]) -> Target:
    base, head = _mapping(pull, "base"), _mapping(pull, "head")
    number = pull.get("number")
    if not isinstance(number, int) or not isinstance(base.get("ref"), str):
        raise UsageError("the event's payload has no pull request number or base branch")
    own, other = (side.get("repo") or {} for side in (base, head))
    trusted = bool(other) and own.get("id") == other.get("id")
    return Target(base["ref"], _sha(head, "sha"), number, trusted)


def _of_run(run: Mapping[str, Any], repository: Repository) -> Target | None:
    """The open pull request whose head the run was for, as the API knows it: the payload has none for a fork."""
    from bot.github.client import told

    head = _sha(run, "head_sha")
    owner = ((run.get("head_repository") or {}).get("owner") or {}).get("login")
    branch = run.get("head_branch")
    if not isinstance(owner, str) or not isinstance(branch, str):
        return None
    with told("find the pull request of the workflow run"):
        pulls = [pull for pull in repository.get_pulls(state="open", head=f"{owner}:{branch}") if pull.head.sha == head]
        if not pulls:
            return None
        first = min(pulls, key=lambda pull: pull.number)
        trusted = first.head.repo is not None and first.head.repo.id == first.base.repo.id
        return Target(first.base.ref, head, first.number, trusted)


def _mapping(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise UsageError(f"the event's payload has no {name}")
    return found


def _sha(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or _SHA.fullmatch(found) is None:
        raise UsageError(f"the event's payload has no commit id in {name}")
    return found
