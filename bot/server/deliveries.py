"""The event and the payload of a webhook in, the job that follows from it out, or the reason why there is none.

Only ids and names go into a job: what it is about is asked of GitHub when the job runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Payload = Mapping[str, Any]
ZERO = "0" * 40
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}", re.ASCII)
_PULL = re.compile(r"pr:(\d{1,9});", re.ASCII)
_GROUP = re.compile(r"group:([^;\s]{1,200});base:([0-9a-f]{40});", re.ASCII)


class Job(NamedTuple):
    """Something to look at, of one repository.

    `kind`: pull (number, head), group (head, base, ref: the queue's branch), push (ref: the branch), suite (head: every check of it again),
    repositories (all of the installation's, for what was missed). `again`: although a check is finished.
    """

    kind: str
    installation: int
    repository: int
    name: str
    number: int = 0
    head: str = ""
    base: str = ""
    ref: str = ""
    again: bool = False

    @property
    def key(self) -> str:
        """What this job is about: of several with one key the newest is enough."""
        return f"{self.repository}/{self.kind}/{self.number or self.ref or self.head}"


class Wrong(Exception):
    """A payload without what its event has."""


def interpret(event: str, payload: Payload) -> Job | str:
    """The job, or why the delivery is ignored, or, with '!' in front, what is wrong with it."""
    handler = _HANDLERS.get(event)
    if handler is None:
        return f"the event {ascii(event)[1:60]} is not for netreach".replace("'", "")
    try:
        return handler(payload)
    except Wrong as error:
        return f"!{error}"


def _ping(_: Payload) -> str:
    return "pong"


def _pull_request(payload: Payload) -> Job | str:
    action = payload.get("action")
    if action == "edited" and not _has(
        _map(payload.get("changes"), "changes") if payload.get("changes") else {}, "base"
    ):
        return "edited, but not to another base"
    if action not in (
        "opened",
        "synchronize",
        "reopened",
        "ready_for_review",
        "edited",
        "closed",
        "converted_to_draft",
    ):
        return f"nothing to do for {_word(action)}"
    pull = _map(payload.get("pull_request"), "pull_request")
    head = _sha(_map(pull.get("head"), "head").get("sha"))
    again = action in ("edited", "reopened", "ready_for_review")
    return _job(payload, "pull", number=_number(pull.get("number")), head=head, again=again)


def _merge_group(payload: Payload) -> Job | str:
    if payload.get("action") != "checks_requested":
        return f"nothing to do for {_word(payload.get('action'))}"
    group = _map(payload.get("merge_group"), "merge_group")
    ref = group.get("base_ref")
    if not isinstance(ref, str):
        raise Wrong("the merge group has no base_ref")
    base, head = _sha(group.get("base_sha")), _sha(group.get("head_sha"))
    return _job(payload, "group", head=head, base=base, ref=ref.removeprefix("refs/heads/"))


def _check_run(payload: Payload) -> Job | str:
    action = payload.get("action")
    run = _map(payload.get("check_run"), "check_run")
    if action == "requested_action":
        if _map(payload.get("requested_action"), "requested_action").get("identifier") != "re-run":
            return "no button of netreach"
    elif action != "rerequested":
        return f"nothing to do for {_word(action)}"
    identity, head = str(run.get("external_id") or ""), _sha(run.get("head_sha"))
    found = known(identity)
    return found if isinstance(found, str) else _job(payload, head=head, again=True, **found)


def known(identity: str) -> dict[str, Any] | str:
    """What a check run with this external id is about, as parts of a Job, or that it is none of netreach's."""
    if pull := _PULL.match(identity):
        return {"kind": "pull", "number": int(pull[1])}
    if group := _GROUP.match(identity):
        return {"kind": "group", "ref": group[1], "base": group[2]}
    return "no check of netreach"


def _check_suite(payload: Payload) -> Job | str:
    if payload.get("action") != "rerequested":
        return f"nothing to do for {_word(payload.get('action'))}"
    suite = _map(payload.get("check_suite"), "check_suite")
    return _job(payload, "suite", head=_sha(suite.get("head_sha")), again=True)


def _push(payload: Payload) -> Job | str:
    ref = payload.get("ref")
    if not isinstance(ref, str) or not ref.startswith("refs/heads/") or payload.get("deleted") is True:
        return "no branch was moved"
    if ref.startswith("refs/heads/gh-readonly-queue/"):
        return "a branch of the merge queue"
    return _job(payload, "push", ref=ref.removeprefix("refs/heads/"))


def _installation(payload: Payload) -> Job | str:
    action = payload.get("action")
    if action not in ("created", "unsuspend", "new_permissions_accepted", "added"):
        return f"nothing to do for {_word(action)}"
    return Job("repositories", _number(_map(payload.get("installation"), "installation").get("id")), 0, "")


def _repository(payload: Payload) -> str:
    return f"nothing to do for {_word(payload.get('action'))}: names are asked for when they are needed"


_HANDLERS: Mapping[str, Callable[[Payload], Job | str]] = {
    "ping": _ping,
    "pull_request": _pull_request,
    "merge_group": _merge_group,
    "check_run": _check_run,
    "check_suite": _check_suite,
    "push": _push,
    "installation": _installation,
    "installation_repositories": _installation,
    "repository": _repository,
}
EVENTS = frozenset(_HANDLERS)
"""The events that are listened to."""


def _job(payload: Payload, kind: str, **parts: Any) -> Job:
    repository = _map(payload.get("repository"), "repository")
    name = repository.get("full_name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise Wrong("the payload has no name of a repository")
    installation = _number(_map(payload.get("installation"), "installation").get("id"))
    return Job(kind, installation, _number(repository.get("id")), name, **parts)


def _map(value: object, what: str) -> Payload:
    if not isinstance(value, dict):
        raise Wrong(f"the payload has no {what}")
    return value


def _has(value: Payload, name: str) -> bool:
    return isinstance(value.get(name), dict)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 63:
        raise Wrong("the payload has no id or number where one is needed")
    return value


def _sha(value: object) -> str:
    if not isinstance(value, str) or _SHA.fullmatch(value) is None:
        raise Wrong("the payload has no commit id where one is needed")
    return value


def _word(value: object) -> str:
    return re.sub(r"[^a-z_]", "", value)[:40] if isinstance(value, str) else "no action"
