"""What is to be said of a pull request in, one comment that stays current out (docs/comment.md, docs/action.md).

At any time at most one comment of a key is the current one. Only comments of the same author that start with a marker of exactly
this key are ever touched. Nothing is written for a head that is no longer the pull request's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.gate.verdict import worst
from bot.github.client import Refused, told
from bot.github.marker import SHORT, Marker, blocked_line, blocked_rows, checked_key, digest, parse

if TYPE_CHECKING:
    from github import Github
    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest
    from github.Repository import Repository

    from bot.review import Review

MODES = ("escalate", "update", "hide-and-new", "delete-and-new", "new", "off")
WHEN = ("changes", "always", "never")
ATTEMPTS = 3
SETTLE = 1.0
# What to try when GitHub finds a body too long, whatever its limit is.
SMALLER = (60_000, 30_000, 10_000)


class Statement(NamedTuple):
    """What is to be said of pull request `number`.

    `head`, `base`: commit ids. `base_ref`: the branch it was compared with ("": do not look whether it still is). `blocked`: a digest of
    each row that blocks. `body`: the text for at most so many bytes of UTF-8, footer included, marker not.
    """

    number: int
    head: str
    base: str
    verdict: str
    body: Callable[[int], str]
    blocked: tuple[str, ...] = ()
    base_ref: str = ""
    key: str = "default"


class Published(NamedTuple):
    """What was done: `created`, `edited`, `replaced` (a new one, the earlier one hidden or deleted), `unchanged`, or `nothing`, `why`."""

    done: str
    url: str = ""
    why: str = ""


class _Own(NamedTuple):
    comment: IssueComment
    marker: Marker


def statement(review: Review, number: int, link: str | None, base_ref: str = "", key: str = "default") -> Statement:
    """What to say of a review. `link`: where files stand by commit (`https://github.com/o/r/blob`)."""
    from bot.report import markdown

    if review.base.sha is None or review.head.sha is None:
        raise UsageError("a comment needs a comparison of two commits")

    @cache
    def body(budget: int) -> str:
        return markdown.review(review, link, budget)

    return Statement(
        number,
        review.head.sha,
        review.base.sha,
        review.verdict,
        body,
        blocked(review),
        base_ref,
        checked_key(key),
    )


def blocked(review: Review) -> tuple[str, ...]:
    """What tells the rows that block apart from one push to the next: what they do, between which namespaces, and because of what."""
    from bot.gate.verdict import blocks

    out = []
    for environment in review.environments:
        for row in environment.changes:
            if not blocks(row, review.fail_on):
                continue
            ends = [
                sorted({_group(environment.endpoints.get(name), name) for name in ids})
                for ids in (row.sources, row.destinations)
            ]
            causes = sorted(cause.object for cause in row.causes)
            out.append(digest(repr((environment.name, row.change, ends, causes, row.after))))
    return tuple(sorted(set(out)))


def _group(facts: object, name: str) -> str:
    namespace = getattr(facts, "namespace", "")
    return f"namespace {namespace}" if namespace else name


def compose(what: Statement, seq: int, limit: int = SMALLER[0], gone: str = "") -> str:
    """The whole comment: marker, body of at most `limit` bytes, and what the next run wants to know.

    What is around the body is under 2,000 bytes. `gone`: the head that had been worse.
    """
    last = f"\n<sub>What `{gone[:7]}` changed is gone as of `{what.head[:7]}`.</sub>\n" if gone else ""
    return f"{_marker(what, seq).line()}\n{what.body(limit)}{last}{blocked_line(what.blocked)}"


def _marker(what: Statement, seq: int) -> Marker:
    content = digest(what.body(SMALLER[0]))
    return Marker(what.key, what.number, what.head[:SHORT], what.base[:SHORT], what.verdict, seq, content)


def author(client: Github, token: str = "") -> str:
    """The login that comments of this client have, like `github-actions[bot]`.

    GraphQL leaves out the suffix that REST has; only tokens of installations (`ghs_`) have it.
    """
    with told("find out who the token belongs to"):
        _, data = client.requester.requestJsonAndCheck("POST", client.requester.graphql_url, input={"query": _VIEWER})
        login = str(data["data"]["viewer"]["login"])
    return f"{login}[bot]" if token.startswith("ghs_") and not login.endswith("[bot]") else login


_VIEWER = "query { viewer { login } }"


def there(repository: Repository, number: int, own: str, key: str = "default") -> bool:
    """Whether the pull request has a current comment of this key. Raises Refused."""
    what = Statement(number, "", "", "", lambda limit: "", key=key)
    return bool(_read(repository.get_pull(number), what, own)[0])


def publish(
    repository: Repository,
    what: Statement,
    own: str,
    mode: str = "escalate",
    when: str = "changes",
    settle: float = SETTLE,
) -> Published:
    """Make the pull request's comment say it. `own`: the author that comments of this client have (`author`).

    `mode`: one of MODES, `when`: one of WHEN. `settle`: seconds after a write until it is looked at again. Raises Refused.
    """
    if mode not in MODES or when not in WHEN:
        raise UsageError(f"comment {mode}, {when}: one of {', '.join(MODES)}, and one of {', '.join(WHEN)}")
    if mode == "off" or when == "never":
        return Published("nothing", why="comments are switched off")
    with told(f"read pull request {what.number}"):
        pull = repository.get_pull(what.number)
        if moved := _moved(pull, what):
            return Published("nothing", why=moved)
    current, earlier = _read(pull, what, own)
    if len(current) > 1:
        _remove(current[1:], what)
    if not current:
        if what.verdict == "pass" and when == "changes" and (mode == "new" or not earlier):
            return Published("nothing", why="no path changes, and there is no comment")
        return _create(pull, what, own, settle, 1 + max((row.marker.seq for row in earlier), default=0), "created")
    return _replace(pull, what, own, mode, settle, current[0])


def _replace(pull: PullRequest, what: Statement, own: str, mode: str, settle: float, known: _Own) -> Published:
    said = known.marker
    if _says(said, what):
        return Published("unchanged", known.comment.html_url)
    escalated = worst([said.verdict, what.verdict]) != said.verdict or bool(
        set(what.blocked) - blocked_rows(known.comment.body)
    )
    if mode == "update" or what.verdict == "pass" or (mode == "escalate" and not escalated):
        return _edit(pull, what, own, settle, known)
    # The earlier one makes room first: whatever happens between, there are never two that claim to be current.
    with told("make room for a new comment"):
        if moved := _moved(_again(pull), what):
            return Published("nothing", why=moved)
        if mode == "delete-and-new":
            _delete(known.comment)
        else:
            _, _, rest = known.comment.body.partition("\n")
            known.comment.edit(f"{said._replace(superseded=True).line()}\n{rest}")
            if mode != "new":
                _hide(known.comment)
    return _create(pull, what, own, settle, said.seq + 1, "created" if mode == "new" else "replaced")


def _says(said: Marker, what: Statement) -> bool:
    """Whether a comment with this marker says it already."""
    return said == _marker(what, said.seq)


def _edit(pull: PullRequest, what: Statement, own: str, settle: float, known: _Own) -> Published:
    gone = known.marker.head if what.verdict == "pass" and known.marker.verdict != "pass" else ""
    for attempt in range(ATTEMPTS):
        with told(f"edit the comment on pull request {what.number}"):
            known.comment.update()
            said = parse(known.comment.body) or known.marker
            if moved := _moved(_again(pull), what):
                return Published("nothing", known.comment.html_url, moved)
            if attempt and _says(said, what):
                break
        _sized(known.comment.edit, what, max(said.seq, known.marker.seq) + 1, gone)
        _wait(settle)
    return Published("edited", known.comment.html_url)


def _create(pull: PullRequest, what: Statement, own: str, settle: float, seq: int, done: str) -> Published:
    """Create, then look: of several that were created at once the oldest stays and says it, the others go."""
    before = {row.comment.id for row in _read(pull, what, own)[0]}
    for attempt in range(ATTEMPTS):
        if moved := _moved(_again(pull), what):
            return Published("nothing", why=moved)
        try:
            _sized(pull.create_issue_comment, what, seq)
        except Refused as error:
            if not error.uncertain or attempt == ATTEMPTS - 1:
                raise
            _wait(settle * 2**attempt)
        current, _ = _read(pull, what, own)
        if {row.comment.id for row in current} - before:
            break
    else:
        raise Refused(
            f"could not comment on pull request {what.number}: GitHub does not show what it took", "server", True
        )
    _wait(settle)
    current, _ = _read(pull, what, own)
    if not current:
        raise Refused(f"the comment on pull request {what.number} is gone again", "missing")
    first = current[0]
    if not _says(first.marker, what):
        _edit(pull, what, own, settle, first)
    _remove(current[1:], what)
    return Published(done, first.comment.html_url)


def _sized(write: Callable[[str], object], what: Statement, seq: int, gone: str = "") -> None:
    """Write the comment; if GitHub finds it too long, a smaller one."""
    for limit in SMALLER:
        try:
            with told(f"comment on pull request {what.number}"):
                write(compose(what, seq, limit, gone))
            return
        except Refused as error:
            if error.kind != "too-long" or limit == SMALLER[-1]:
                raise


def _read(pull: PullRequest, what: Statement, own: str) -> tuple[list[_Own], list[_Own]]:
    """Own comments of the key, oldest first: those that claim to be current, and the earlier ones."""
    current: list[_Own] = []
    earlier: list[_Own] = []
    with told(f"read the comments of pull request {what.number}"):
        for comment in pull.get_issue_comments():
            if comment.user is None or comment.user.login != own:
                continue
            marker = parse(comment.body or "")
            if marker is not None and marker.key == what.key:
                (earlier if marker.superseded else current).append(_Own(comment, marker))
    for rows in (current, earlier):
        rows.sort(key=lambda row: row.comment.id)
    return current, earlier


def _moved(pull: PullRequest, what: Statement) -> str:
    """Why nothing may be written any more: the pull request is not what was looked at."""
    if pull.head.sha != what.head:
        return f"the head moved on from {what.head[:7]} to {pull.head.sha[:7]}"
    if what.base_ref and pull.base.ref != what.base_ref:
        return f"the pull request goes to another branch now, not {what.base_ref}"
    return ""


def _again(pull: PullRequest) -> PullRequest:
    with told(f"read pull request {pull.number}"):
        pull.update()
    return pull


def _remove(rows: list[_Own], what: Statement) -> None:
    for row in rows:
        with told(f"remove a duplicate of the comment on pull request {what.number}"):
            _delete(row.comment)


def _delete(comment: IssueComment) -> None:
    """Delete it, if nobody else has."""
    from github.GithubException import UnknownObjectException

    try:
        comment.delete()
    except UnknownObjectException:
        return


def _hide(comment: IssueComment) -> None:
    """Fold it as outdated. Where that is refused it stays in view, superseded by its marker."""
    from github.GithubException import GithubException

    try:
        comment.minimize()
    except (GithubException, KeyError, TypeError):
        return


def _wait(seconds: float) -> None:
    from time import sleep

    sleep(seconds)
