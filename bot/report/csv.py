"""A review or listing in, CSV out: one row a change, or one a pair."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.report.escape import cell
from bot.report.sides import explain, place
from bot.report.words import Names, cause_words, change_ports, plain_set, state

if TYPE_CHECKING:
    from bot.review import Audit, Listing, Review


def review(value: Review) -> str:
    """A row for each group of paths; with pairs in the review, one for each pair instead."""
    rows: list[list[str]] = []
    if any(environment.pairs is not None for environment in value.environments):
        rows.append(["environment", "from", "to", "before", "after", "endpoint"])
        for environment in value.environments:
            for pair in environment.pairs or ():
                before = state(pair.before, pair.before_possible, environment.universe)
                after = state(pair.after, pair.after_possible, environment.universe)
                rows.append([environment.name, pair.source, pair.destination, before, after, pair.endpoint])
        return _text(rows)
    rows.append(["environment", "change", "from", "to", "ports", "paths", "severity", "causes", "witness", "explain"])
    for environment in value.environments:
        names = Names(environment.endpoints, environment.sizes)
        for change in environment.changes:
            causes = "; ".join(
                f"{row.object} {cause_words(row, change.change)} ({place(row.file, row.lines)})"
                for row in change.causes
            )
            witness = f"{change.witness.source} to {change.witness.destination} {change.witness.port}"
            sets = [plain_set(names.parts(ids)) for ids in (change.sources, change.destinations)]
            ports = change_ports(change, environment.universe)
            rows.append(
                [
                    environment.name,
                    change.change,
                    *sets,
                    ports,
                    str(change.paths),
                    change.severity,
                    causes,
                    witness,
                    explain(value, change.witness, environment.name),
                ]
            )
    return _text(rows)


def audit(value: Audit) -> str:
    """A row for each namespace."""
    rows = [
        [
            "namespace",
            "status",
            "ingress",
            "egress",
            "workloads",
            "unprotected ingress",
            "unprotected egress",
            "policies",
        ]
    ]
    for one in value.namespaces:
        sets = (one.ingress.unprotected, one.egress.unprotected, one.policies)
        head = [one.namespace, one.status, one.ingress.status, one.egress.status, str(one.workloads)]
        rows.append(head + ["; ".join(names) for names in sets])
    return _text(rows)


def listing(value: Listing) -> str:
    """A row for each pair that is open, possible ports in their own column."""
    rows = [["from", "to", "ports", "possible ports"]]
    for path in value.paths:
        possible = state(path.possible, (), value.universe) if path.possible else ""
        rows.append(
            [path.source, path.destination, state(path.open, (), value.universe) if path.open else "", possible]
        )
    return _text(rows)


def _text(rows: Iterable[Iterable[str]]) -> str:
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell(text) for text in row] for row in rows)
    return out.getvalue()
