"""Base, head and settings in, a Review out: the whole pipeline on one screen."""

from __future__ import annotations

from typing import NamedTuple

from bot.policies.model import Assumption
from bot.policies.traffic import Traffic
from bot.reachability.change import Change, EndpointFacts, PairChange, PolicyText, Totals
from bot.sources import Unread


class Side(NamedTuple):
    """One side of the comparison: what was asked for, and the commit it is (None: a folder or the working tree)."""

    ref: str
    sha: str | None


class Environment(NamedTuple):
    """One cluster's review. `verdict`: pass, allowed, look, blocked or incomplete. `incomplete` makes it red, `coverage` does not."""

    name: str
    cni: str
    universe: Traffic
    verdict: str
    totals: Totals
    endpoints: dict[str, EndpointFacts]
    changes: tuple[Change, ...]
    pairs: tuple[PairChange, ...] | None
    changed_objects: tuple[PolicyText, ...]
    workloads: int
    policies: int
    incomplete: tuple[Unread, ...]
    coverage: tuple[Unread, ...]
    assumptions: tuple[tuple[Assumption, int], ...]
    notes: tuple[str, ...]


class Review(NamedTuple):
    """The whole answer for one pull request; `notes` are said in the headline's neighbourhood (a merge conflict, Flannel alone)."""

    base: Side
    head: Side
    mode: str
    behind: int | None
    environments: tuple[Environment, ...]
    verdict: str
    notes: tuple[str, ...] = ()
