"""YAML text in; Snapshots, lowered policies and single rules out, for the tests of this room."""

from __future__ import annotations

from typing import Any

from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.policies.compile import lower
from bot.policies.model import Lowered, Policy, Problem, Rule
from bot.policies.traffic import PROTOCOL_NAMES, Traffic
from bot.sources import Files


def snapshot(text: str, reader: Reader | None = None) -> Snapshot:
    """The Snapshot of one file of YAML."""
    return load(Files("test", None, {"test.yaml": text.encode()}, []), reader or Reader())


def lowered(text: str, **options: Any) -> Lowered:
    """The same YAML on both sides, lowered."""
    side = snapshot(text)
    return lower(side, side, **options)


def problems(text: str, **options: Any) -> list[tuple[str, str, bool]]:
    """(path, reason, refused) of what is wrong with the policies of a YAML."""
    return [(path(problem), problem.reason, problem.refused) for problem in lowered(text, **options).problems_head]


def path(problem: Problem) -> str:
    """The path of a problem in words: `spec.ingress[0].from[1]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem.path).lstrip(".")


def policy(text: str) -> Policy:
    """The one policy of a YAML, in which nothing is wrong, without what is built in."""
    found = lowered(text)
    assert found.problems_head == ()
    (only,) = (found for found in found.head.policies if found.object is not None)
    return only


def network_policy(spec: str, namespace: str = "shop") -> str:
    """A NetworkPolicy with this spec (YAML flow text)."""
    metadata = f"{{name: p, namespace: {namespace}}}"
    return f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {metadata}\nspec: {spec}\n"


def rules(text: str, checkpoint: str = "ingress") -> tuple[Rule, ...]:
    """The rules of the one policy of a YAML at one checkpoint."""
    return tuple(rule for section in policy(text).sections if section.checkpoint == checkpoint for rule in section.rules)


def words(traffic: Traffic) -> list[str]:
    """Boxes as people write them: `TCP 80`, `UDP 53-54`."""
    out = []
    for box in traffic:
        name, first, last = PROTOCOL_NAMES[box.first >> 16], box.first & 0xFFFF, box.last & 0xFFFF
        out.append(f"{name} {first}" if first == last else f"{name} {first}-{last}")
    return out
