"""The two sides of a review in, how they are called and the command that repeats the comparison out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.reachability.change import Witness
from bot.report.words import number
from bot.review import Review, Settings, Side

SHORT = 7


def quoted(text: str) -> str:
    """The text as one word of a shell."""
    if re.fullmatch(r"[A-Za-z0-9@%+=:,./_-]+", text):
        return text
    from shlex import quote

    return quote(text)


def short(side: Side) -> str:
    """`9f31c02`, or the name where there is no commit."""
    return side.sha[:SHORT] if side.sha else side.ref


def named(side: Side) -> str:
    """`main@9f31c02`, or the name alone."""
    if not side.sha or side.sha.startswith(side.ref):
        return short(side)
    return f"{side.ref}@{short(side)}"


def compared(review: Review) -> str:
    """`main@9f31c02 + merge of b7d4e11`; `a -> b` where nothing is merged."""
    if review.mode == "merge" and review.head.sha:
        return f"{named(review.base)} + merge of {short(review.head)}"
    return f"{named(review.base)} -> {named(review.head)}"


def compared_words(review: Review) -> tuple[str, str, str]:
    """The same for a sentence: base, what stands between, head."""
    if review.mode == "merge" and review.head.sha:
        return named(review.base), "with the merge of", short(review.head)
    return named(review.base), "with", named(review.head)


def behind(review: Review) -> str:
    """`3 commits behind main`, or nothing."""
    return f"{number(review.behind, 'commit')} behind {review.base.ref}" if review.behind else ""


def command(review: Review) -> str:
    """The command that prints this review on anyone's machine."""
    return _command(review, "diff", (("--fail-on", ",".join(review.asked.fail_on)), *_asked(review.asked)))


def explain(review: Review, witness: Witness, environment: str) -> str:
    """The command that walks the witness's path on both sides, in the environment of that name."""
    if witness.explain:
        return witness.explain
    settings = review.asked
    if len(review.environments) > 1:
        settings = settings._replace(environment=environment)
    ends = (("--from", witness.source), ("--to", witness.destination), ("--port", witness.port))
    return _command(review, "explain", (*_asked(settings), *ends))


def _command(review: Review, verb: str, options: Iterable[tuple[str, str]]) -> str:
    if review.base.sha is None:
        words = [f"netreach {verb} --dirs {quoted(review.base.ref)} {quoted(review.head.ref)}"]
    else:
        head = f" --head {review.head.sha[:12]}" if review.head.sha else ""
        words = [f"netreach {verb} --base {review.base.sha[:12]}{head} --mode {review.mode}"]
    return " ".join(words + [f"{option} {quoted(value)}" for option, value in options if value])


def _asked(settings: Settings) -> list[tuple[str, str]]:
    """The options that change what is compared or how."""
    pods = settings.pod_cidrs
    return [
        *(("--include", glob) for glob in settings.include),
        *(("--exclude", glob) for glob in settings.exclude),
        ("--config", settings.config or ""),
        ("--env", settings.environment or ""),
        ("--cni", settings.cni or ""),
        ("--pod-cidrs", "" if pods is None else ",".join(pods) or "none"),
        ("--context", settings.context or ""),
        ("--render", settings.render if settings.render == "off" else ""),
        ("--kube-version", settings.kube_version),
    ]


def place(file: str, lines: tuple[int, int] | None) -> str:
    """`file:3-9`, as editors and people read it; without a file it is about everything."""
    if lines is None or not lines[0]:
        return file or "everything"
    return f"{file}:{lines[0]}" if lines[0] == lines[1] else f"{file}:{lines[0]}-{lines[1]}"
