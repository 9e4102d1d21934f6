"""A seed in; random patterns, texts that they match, and pairs of HTTP rule sets of which one is the other, edited a little."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

PATHS = ["/", "a", "b", "ab", "v1", "-", "0", "users", "."]
HOSTS = ["a", "b", ".", "shop", "example", "com", ":80"]
CLASSES = [
    ("[a-z]", "abz"),
    ("[0-9]", "019"),
    (r"\d", "05"),
    (r"\w", "a_0"),
    ("[^/]", "ab-"),
    ("[[:alpha:]]", "abZ"),
    ("[ab]", "ab"),
    ("[^a]", "b/0"),
    (".", "a/b0"),
    (r"\S", "a-"),
]
HEADERS = [
    "X-Token",
    "X-Token: abc",
    "X-Token: xyz",
    "x-token: abc",
    "X-Other: 1",
    "X-Other",
    "X-Bad:abc",
    "Host: a.com",
]
METHODS = [
    "GET",
    "POST",
    "PUT",
    "GET|POST",
    "P.*",
    "[A-Z]{3}",
    ".*",
    "(GET|HEAD)",
    "^DELETE$",
    "(?i)get",
    "get",
    "[A-Z]+",
]
PATTERNS = [
    "/api/v1/products.*",
    "/api/v1/orders",
    "/api/v[12]/.*",
    "/api/v1/users/[0-9]+",
    "/public|/x",
    "^/public$",
    "/public(/.*)?",
    "/.*",
    ".*",
    "/(a|b)*c?",
    "/(?i)admin",
    r"/\badmin\b.*",
    r"/\Qa.b\E(/.*)?",
    "/([^/]+/)*[^/]*",
]


class Node(NamedTuple):
    """A random pattern: `text` (a literal or a class of these characters), `cat`, `alt` or `rep` of parts."""

    kind: str
    text: str = ""
    samples: str = ""
    parts: tuple[Node, ...] = ()
    low: int = 0
    high: int = 0

    def written(self) -> str:
        """The pattern as text."""
        inner = [part.written() for part in self.parts]
        if self.kind == "cat":
            return "".join(
                f"(?:{text})" if part.kind == "alt" else text for part, text in zip(self.parts, inner, strict=True)
            )
        if self.kind == "alt":
            return "|".join(inner)
        if self.kind == "rep":
            operator = {(0, -1): "*", (1, -1): "+", (0, 1): "?"}.get(
                (self.low, self.high), f"{{{self.low},{self.high}}}"
            )
            return f"({inner[0]}){operator}"
        return self.text if self.kind == "class" else self.text.replace(".", r"\.")

    def word(self, choose: random.Random) -> str:
        """A text that matches."""
        if self.kind == "cat":
            return "".join(part.word(choose) for part in self.parts)
        if self.kind == "alt":
            return choose.choice(self.parts).word(choose)
        if self.kind == "rep":
            times = choose.randint(self.low, self.high if self.high >= 0 else self.low + 2)
            return "".join(self.parts[0].word(choose) for _ in range(times))
        return choose.choice(self.samples) if self.kind == "class" else self.text


def node(choose: random.Random, literals: list[str], depth: int) -> Node:
    """A random pattern of at most this depth."""
    kind = (
        choose.choice(["text", "text", "class", "cat", "cat", "alt", "rep"])
        if depth
        else choose.choice(["text", "class"])
    )
    if kind == "text":
        return Node("text", choose.choice(literals))
    if kind == "class":
        return Node("class", *choose.choice(CLASSES))
    if kind == "rep":
        low, high = choose.choice([(0, -1), (1, -1), (0, 1), (2, 3), (0, 4)])
        return Node("rep", parts=(node(choose, literals, depth - 1),), low=low, high=high)
    return Node(kind, parts=tuple(node(choose, literals, depth - 1) for _ in range(choose.randint(2, 3))))


class Rule(NamedTuple):
    """A rule as in a manifest, and how to make paths and hosts that it likes."""

    manifest: dict[str, Any]
    path: Node | None
    host: Node | None


def rule(choose: random.Random) -> Rule:
    """A random HTTP rule."""
    manifest: dict[str, Any] = {}
    path = host = None
    if choose.random() < 0.6:
        manifest["method"] = choose.choice(METHODS)
    if choose.random() < 0.8:
        if choose.random() < 0.4:
            manifest["path"] = choose.choice(PATTERNS)
        else:
            path = Node("cat", parts=(Node("text", "/"), node(choose, PATHS, 3)))
            manifest["path"] = path.written()
    if choose.random() < 0.25:
        host = node(choose, HOSTS, 2)
        manifest["host"] = host.written()
    if choose.random() < 0.3:
        manifest["headers"] = choose.sample(HEADERS, choose.choice([1, 1, 2]))
    if choose.random() < 0.15:
        match = {"name": "X-Token", "value": choose.choice(["abc", "xyz"]), "mismatch": choose.choice(["", "", "LOG"])}
        manifest["headerMatches"] = [{key: value for key, value in match.items() if value}]
    return Rule(manifest, path, host)


def edited(choose: random.Random, rules: list[Rule]) -> list[Rule]:
    """The rules after a small change, often one that does not change what they mean."""
    out = list(rules)
    at = choose.randrange(len(out))
    old = out[at]
    field = choose.choice(["method", "path", "host"])
    text = old.manifest.get(field, "")
    change = choose.randrange(8)
    if change == 0:
        out.append(rule(choose))
    elif change == 1 and len(out) > 1:
        del out[at]
    elif change == 2 and text:
        out[at] = old._replace(manifest={**old.manifest, field: f"(?:{text})|{text}"})
    elif change == 3 and text:
        out[at] = old._replace(manifest={**old.manifest, field: f"^({text}){choose.choice(['$', '', '?'])}"})
    elif change == 4:
        out[at] = old._replace(manifest={key: value for key, value in old.manifest.items() if key != field})
    elif change == 5 and old.path and old.path.parts[1].kind == "alt":
        rest = [Node("cat", parts=(Node("text", "/"), part)) for part in old.path.parts[1].parts]
        out[at : at + 1] = [Rule({**old.manifest, "path": each.written()}, each, old.host) for each in rest]
    elif change == 6:
        out[at] = rule(choose)
    elif change == 7:
        out[at] = old._replace(manifest={**old.manifest, "headers": choose.sample(HEADERS, 1)})
    return out


def rules(choose: random.Random) -> list[Rule]:
    """A random set of rules."""
    return [rule(choose) for _ in range(choose.choice([1, 1, 2, 2, 3, 4]))]
