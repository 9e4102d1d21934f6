"""A selector that matches nothing, and pods, in; the one label that somebody most likely mistyped, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import And, Everything, Expr, InNamespace, Kind, Label, Not, Or

if TYPE_CHECKING:
    from bot.manifests.snapshot import Workload

SYNONYMS = frozenset(
    {"app", "app.kubernetes.io/name", "k8s-app", "name", "run", "component", "app.kubernetes.io/component"}
)
_MOST = 2_000


class Near(NamedTuple):
    """The label that is asked for, the one that was most likely meant, and a workload that has it."""

    key: str
    value: str
    meant_key: str
    meant_value: str
    workload: Workload

    @property
    def meant(self) -> str:
        """As people write it."""
        return f"{self.meant_key}={self.meant_value}"


def labels_asked(expr: Expr, scope: str = "pod") -> list[Expr] | None:
    """What an expression asks of pods' own labels; None where it is no plain conjunction."""
    parts = expr.parts if isinstance(expr, And) else (expr,)
    out: list[Expr] = []
    for part in parts:
        inner = part.inner if isinstance(part, Not) else part
        if isinstance(inner, Label):
            if inner.scope == scope:
                out.append(part)
        elif isinstance(inner, Or) and all(isinstance(choice, InNamespace) for choice in inner.parts):
            continue
        elif not isinstance(inner, (InNamespace, Kind, Everything)):
            return None
    return out


class Speller:
    """Looks for typos until it has looked often enough: a repository of very many selectors that match nothing gets fewer hints."""

    def __init__(self) -> None:
        self.pods = 200_000
        self.words = 5_000

    def is_typo(self, written: str, meant: str) -> bool:
        """As the function of this name; False once there were too many."""
        if self.words <= 0 or abs(len(written) - len(meant)) > 2 or len(set(written) ^ set(meant)) > 4:
            return written.lower() == meant.lower() != written
        self.words -= 1
        return is_typo(written, meant)


def near_miss(expr: Expr, workloads: Iterable[Workload], speller: Speller) -> Near | None:
    """The typo that explains why none of these matches: all labels but one are there, and that one nearly is."""
    asked = labels_asked(expr)
    if not asked:
        return None
    for number, workload in enumerate(workloads):
        if number == _MOST or speller.pods <= 0:
            break
        speller.pods -= 1
        labels = workload.labels
        failed = [part for part in asked if not holds(part, labels)]
        if len(failed) != 1:
            continue
        part = failed[0]
        if isinstance(part, Label) and part.operator == "in":
            for value in part.values:
                meant = _meant(part.key, value, labels, speller)
                if meant is not None:
                    return Near(part.key, value, *meant, workload)
    return None


def holds(part: Expr, labels: Mapping[str, str]) -> bool:
    """Whether labels meet one requirement."""
    if isinstance(part, Not):
        return not holds(part.inner, labels)
    assert isinstance(part, Label)
    value = labels.get(part.key)
    if value is None:
        return False
    if part.operator == "exists":
        return True
    return value in part.values if part.operator == "in" else any(piece in value for piece in part.values)


def _meant(key: str, value: str, labels: Mapping[str, str], speller: Speller) -> tuple[str, str] | None:
    own = labels.get(key)
    if own is not None and speller.is_typo(value, own):
        return key, own
    for other, text in labels.items():
        if text == value and other != key:
            if other.lower() == key.lower() or (other in SYNONYMS and key in SYNONYMS):
                return other, text
            if len(key) > 3 and speller.is_typo(key, other):
                return other, text
    return None


def is_typo(written: str, meant: str) -> bool:
    """Whether a name is so near to another that it is more likely mistyped than meant: never where what counts members differs.

    That are digits, and a letter behind the last `-`, `_` or `.` (`app-a`, `app-b`).
    """
    if written.lower() == meant.lower():
        return written != meant
    shorter = min(len(written), len(meant))
    if shorter <= 3 or _without_digits(written) == _without_digits(meant):
        return False
    if len(written) == len(meant) and written[:-1] == meant[:-1] and written[-2] in "-_.":
        return False
    if written[0] != meant[0] and written[:2] != meant[1::-1]:
        return False  # external and internal, prod and crod: who mistypes hardly ever begins with it
    return distance(written, meant, 2 if shorter >= 7 else 1)


def _without_digits(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


def distance(left: str, right: str, most: int) -> bool:
    """Whether at most so many insertions, deletions, substitutions and swaps of neighbours (Damerau-Levenshtein) part them."""
    if abs(len(left) - len(right)) > most or max(len(left), len(right)) > 253:
        return False
    while left and right and left[0] == right[0]:
        left, right = left[1:], right[1:]
    while left and right and left[-1] == right[-1]:
        left, right = left[:-1], right[:-1]
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        fresh = [i]
        for j, b in enumerate(right, 1):
            cost = min(row[j] + 1, fresh[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            fresh.append(cost)
        if min(fresh) > most:
            return False
        before, row = row, fresh
    return row[-1] <= most
