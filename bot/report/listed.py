"""A listing in, its rows for people out: entities that share their lot with an endpoint are one row, requests stand beside ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.report.words import state

if TYPE_CHECKING:
    from bot.reachability.change import Path
    from bot.review import Listing

ENTITY = "entity:"
MOST = 6
_INTERNET = ("internet", "internet (IPv4)")


class Row(NamedTuple):
    """One row: what reaches what on which ports, and what of requests is allowed there."""

    source: str
    destination: str
    ports: str
    requests: tuple[str, ...] = ()


def rows(value: Listing) -> list[Row]:
    """The rows in the order of the paths; a folded one stands where its first path does.

    Left out: DNS names and exposures that share their lot with the internet.
    """
    outside = {(path.source, path.destination): path[2:] for path in value.paths if _with_internet(path)}
    entities = {name for name, facts in value.endpoints.items() if facts.kind == "entity"}
    sources: dict[object, list[str]] = {}
    destinations: dict[object, list[str]] = {}
    for path in value.paths:
        if path.source in entities:
            sources.setdefault((path.destination, path[2:]), []).append(path.source)
        elif path.destination in entities:
            destinations.setdefault((path.source, path[2:]), []).append(path.destination)
    out: list[Row] = []
    for path in value.paths:
        source, destination = path.source, path.destination
        kinds = [value.endpoints[end].kind if end in value.endpoints else "" for end in (source, destination)]
        if kinds[1] == "fqdn" and path[2:] in [outside.get((source, name)) for name in _INTERNET]:
            continue
        if kinds[0] == "exposure" and path[2:] in [outside.get((name, destination)) for name in _INTERNET]:
            continue
        if source in entities:
            alike = sources[(destination, path[2:])]
            if source != alike[0]:
                continue
            source = _called(alike, len(entities))
        elif destination in entities:
            alike = destinations[(source, path[2:])]
            if destination != alike[0]:
                continue
            destination = _called(alike, len(entities))
        out.append(Row(source, destination, state(path.open, path.possible, value.universe), requests(path)))
    return out


def _with_internet(path: Path) -> bool:
    return path.source in _INTERNET or path.destination in _INTERNET


def _called(alike: list[str], of: int) -> str:
    if len(alike) == of > 1:
        return f"{ENTITY}*"
    return ENTITY + ",".join(name.removeprefix(ENTITY) for name in alike)


def legend(value: Listing) -> str:
    """What `entity:*` stands for; nothing where there are no entities."""
    names = [name.removeprefix(ENTITY) for name, facts in sorted(value.endpoints.items()) if facts.kind == "entity"]
    return f"{ENTITY}* is each of {', '.join(names)}" if len(names) > 1 else ""


def requests(path: Path) -> tuple[str, ...]:
    """What of requests is allowed, in words: `HTTP: GET /api, POST /orders`."""
    out = []
    for limit in path.limits:
        shown = [*limit.rules[:MOST], *([f"{len(limit.rules) - MOST} more"] if len(limit.rules) > MOST else [])]
        out.append(f"{limit.kind.upper()}: {', '.join(shown)}" if limit.rules else f"{limit.kind.upper()}: none")
    return tuple(dict.fromkeys(out))
