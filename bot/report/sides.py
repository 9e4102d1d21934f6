"""The two sides of a review in, how they are called and the command that repeats the comparison out."""

from __future__ import annotations

import re

from bot.reachability.change import Witness
from bot.report.words import number
from bot.review import Review, Side

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
    if review.base.sha is None:
        return f"netreach diff --dirs {quoted(review.base.ref)} {quoted(review.head.ref)}"
    base = review.base.sha[:12] if review.base.sha else quoted(review.base.ref)
    head = f" --head {review.head.sha[:12]}" if review.head.sha else ""
    return f"netreach diff --base {base}{head} --mode {review.mode}"


def explain(review: Review, witness: Witness) -> str:
    """The command that walks the witness's path on both sides."""
    if witness.explain:
        return witness.explain
    ends = f"--from {quoted(witness.source)} --to {quoted(witness.destination)} --port {quoted(witness.port)}"
    return f"{command(review).replace('netreach diff', 'netreach explain', 1)} {ends}"


def place(file: str, lines: tuple[int, int] | None) -> str:
    """`file:3-9`, as editors and people read it; without a file it is about everything."""
    if lines is None or not lines[0]:
        return file or "everything"
    return f"{file}:{lines[0]}" if lines[0] == lines[1] else f"{file}:{lines[0]}-{lines[1]}"
