"""NP082: a CIDR that is none, or is not what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import ERROR, Draft, Edit, Path, Rule
from bot.lint.written import listed, specs
from bot.policies import addresses as address_line
from bot.policies.selectors import Flaw
from bot.policies.terms import parse_block

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP082",
    name="cidr-invalid",
    severity=ERROR,
    detects="A CIDR that cannot be read, has bits set beyond its prefix or leading zeros, an `except` outside of its "
    "CIDR or equal to it, and a mixture of IPv4 and IPv6.",
    why="API servers of Kubernetes 1.36 and later refuse such a policy, and older ones read another range than "
    "the one that is written.",
    bad="""\
ipBlock:
  cidr: 10.0.1.0/16
  except: [10.1.0.0/24]
""",
    fix="Write the range that is meant.",
    good="""\
ipBlock:
  cidr: 10.0.0.0/16
  except: [10.0.1.0/24]
""",
    fixable=True,
)
_FIELDS = frozenset({"cidr", "except", "networks", "nets", "notNets", "fromCIDR", "toCIDR"})
_LISTS = ("fromCIDR", "toCIDR")
_SETS = ("fromCIDRSet", "toCIDRSet")
_UNFILLED = ("'<", "'${", "'{{", "'$(")
"""How a placeholder begins: unresolved-selector-value tells of those."""
_SECTIONS = ("ingress", "ingressDeny", "egress", "egressDeny")


def check(context: Context) -> Iterator[Draft]:
    """Every such CIDR of every policy."""
    told: set[tuple[int, Path]] = set()
    for problem in context.problems:
        named = [step for step in problem.path if isinstance(step, str)]
        if any(mark in problem.reason for mark in _UNFILLED):
            continue
        single = bool(named) and named[-1] == "ipBlock" and "CIDR" in problem.reason
        listed = bool(named) and named[-1] in _FIELDS and (named[-1] == "cidr" or isinstance(problem.path[-1], int))
        if single or listed:
            told.add((id(problem.object), problem.path))
            edit = _edit(problem.object.value, problem.path)
            fix = f"`{edit.value}`" if edit is not None else ""
            yield Draft(
                RULE,
                ERROR,
                problem.object,
                problem.path,
                problem.reason.partition(": the API server stores")[0],
                fix,
                edit,
            )
    # Cilium's two gates let host bits pass.
    for obj in context.snapshot.by_kind("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"):
        for path, text in _of_cilium(obj.value):
            flaws: list[Flaw] = []
            if type(text) is str and (id(obj), path) not in told and parse_block(text, path, flaws) and flaws:
                edit = _edit(obj.value, path)
                yield Draft(
                    RULE, ERROR, obj, path, flaws[0].reason, f"`{edit.value}`" if edit is not None else "", edit
                )


def _edit(value: Any, path: Path) -> Edit | None:
    """The CIDR without the bits beyond its prefix."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    if type(value) is not str or parse_block(value, path, []) is None or not address_line.host_bits(value):
        return None
    found = address_line.words(address_line.parse_cidr(value))
    return Edit("set", path, found[0]) if len(found) == 1 and "/" in found[0] else None


def _of_cilium(value: Any) -> Iterator[tuple[Path, Any]]:
    for at, spec in specs(value):
        for section in _SECTIONS:
            for i, rule in enumerate(listed(spec, section)):
                for field in _LISTS:
                    for j, text in enumerate(listed(rule, field)):
                        yield (*at, section, i, field, j), text
                for field in _SETS:
                    for j, item in enumerate(listed(rule, field)):
                        if type(item) is dict:
                            yield (*at, section, i, field, j, "cidr"), item.get("cidr")
                            for k, text in enumerate(listed(item, "except")):
                                yield (*at, section, i, field, j, "except", k), text
