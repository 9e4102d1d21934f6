"""Cilium's HTTP rules in; which requests they allow, and whether one set of rules lies within another.

A rule is a box: a language each for method, path and host, and for each header name a set of symbols (absent, each value that a rule
names, any other). Semantics: Cilium's policy/api/http.go, envoy/policy/envoy_l7_rules_translator.go; matching is RE2 full match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bot.policies import regular
from bot.policies.re2 import Code, Pattern, PatternError, parse
from bot.policies.regular import Included, Unknown, Witness

_COMMON_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
_UNIVERSE = {"method": "[A-Z]+(?:-[A-Z]+)*", "path": r"/.*|\*", "host": ".+"}
_PSEUDO = {":method": "method", ":path": "path", ":authority": "host", "host": "host"}
_ACTIONS = ("LOG", "ADD", "DELETE", "REPLACE")
_NAME = frozenset("!#$%&'*+-.^_`|~:0123456789abcdefghijklmnopqrstuvwxyz")


class RuleError(ValueError):
    """Why Cilium's agent refuses a rule, in its words; `field` is the offending field of the rule."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(reason)
        self.field = field


class Header(NamedTuple):
    """What a rule demands of a header: `present`, `exact` (the value), or `secret` (the value of the secret of that name)."""

    name: str
    operator: str
    value: str = ""

    @property
    def words(self) -> str:
        """As people write it."""
        if self.operator == "secret":
            return f"{self.name}: (secret {self.value})"
        return self.name if self.operator == "present" else f"{self.name}: {self.value}"


class HttpRule(NamedTuple):
    """One rule; an empty field allows everything. `rewrites`: (header, action, value) of matches that never fail the rule."""

    method: str = ""
    path: str = ""
    host: str = ""
    headers: tuple[Header, ...] = ()
    rewrites: tuple[tuple[str, str, str], ...] = ()

    @property
    def words(self) -> str:
        """As people read it: `GET /api/v1/products.*`."""
        parts = [self.method or "any method", self.path or "any path"]
        if not self.method and not self.path:
            parts = ["any request"]
        elif not self.method or not self.path:
            parts = [self.method or "any method", self.path or "on any path"]
        if self.host:
            parts.append(f"on host {self.host}")
        if self.headers:
            parts.append("with " + ", ".join(header.words for header in self.headers))
        parts.extend(f"({action} {name}: {value})" for name, action, value in self.rewrites)
        return " ".join(parts)


ANY_REQUEST = HttpRule()


class Request(NamedTuple):
    """One request. `headers`: those it has besides the host, with their values; a host that does not matter is empty."""

    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> str:
        """As people read it: `GET /admin`."""
        host = f" on host {self.host}" if self.host else ""
        headers = f" with {', '.join(f'{name}: {value}' for name, value in self.headers)}" if self.headers else ""
        return f"{self.method} {self.path}{host}{headers}"


def http_rule(value: Mapping[str, object], namespace: str = "") -> HttpRule:
    """A rule from its manifest. RuleError for what the agent refuses; `namespace` is where secrets without one are.

    The agent compiles method and path alone: a host that is no pattern is accepted (and Envoy's answer to it unknown).
    """
    texts: dict[str, str] = {}
    for field in _UNIVERSE:
        text = value.get(field) or ""
        if not isinstance(text, str):
            raise RuleError(f"{field} is not a string", field)
        texts[field] = text
        if field != "host":
            try:
                parse(text)
            except PatternError as error:
                raise RuleError(str(error), field) from None
    headers: dict[Header, None] = {}
    rewrites: dict[tuple[str, str, str], None] = {}
    for item in _items(value, "headers"):
        if not isinstance(item, str):
            raise RuleError("a header is not a string", "headers")
        name, space, wanted = item.partition(" ")
        headers[Header(name.rstrip(":"), "exact", wanted) if space else Header(name, "present")] = None
    for item in _items(value, "headerMatches"):
        header, action = _header_match(item, namespace)
        if action:
            rewrites[(header.name, action, header.words.partition(": ")[2])] = None
        else:
            headers[header] = None
    return HttpRule(texts["method"], texts["path"], texts["host"], tuple(sorted(headers)), tuple(sorted(rewrites)))


def _items(value: Mapping[str, object], field: str) -> Sequence[object]:
    items = value.get(field) or ()
    if not isinstance(items, (list, tuple)):
        raise RuleError(f"{field} is not a list", field)
    return items


def _header_match(item: object, namespace: str) -> tuple[Header, str]:
    if not isinstance(item, Mapping):
        raise RuleError("a header match is not an object", "headerMatches")
    name, wanted, action = (item.get(key) or "" for key in ("name", "value", "mismatch"))
    if not all(isinstance(text, str) for text in (name, wanted, action)):
        raise RuleError("a header match has a field that is not a string", "headerMatches")
    if not name:
        raise RuleError("Header name missing", "headerMatches")
    if action and action not in _ACTIONS:
        raise RuleError(f"Invalid header action: {action}", "headerMatches")
    secret = item.get("secret")
    if secret is not None:
        named = secret.get("name") if isinstance(secret, Mapping) else None
        if not named:
            raise RuleError("Secret name missing", "headerMatches")
        return Header(name, "secret", f"{secret.get('namespace') or namespace}/{named}"), action
    return Header(name, "exact" if wanted else "present", wanted), action


# --- One request ---


def allows(rule: HttpRule, request: Request) -> bool | None:
    """Whether the rule allows this request; None if a secret or an unsupported pattern decides."""
    has = {name.lower(): value for name, value in request.headers}
    has.update({":method": request.method, ":path": request.path, ":authority": request.host, "host": request.host})
    answer: bool | None = True
    for header in rule.headers:
        value = has.get(header.name.lower())
        if value is None or (header.operator == "exact" and value != header.value):
            return False
        if header.operator == "secret":
            answer = None
    for text, value in ((rule.method, request.method), (rule.path, request.path), (rule.host, request.host)):
        if text:
            found = regular.matches(_parsed(text), value)
            if found is False:
                return False
            if found is None:
                answer = None
    return answer


def _parsed(text: str) -> Pattern:
    try:
        return parse(text)
    except PatternError as error:
        return Pattern(text, (), str(error))


# --- Inclusion ---


def difference(inside: Sequence[Sequence[HttpRule]], outside: Sequence[HttpRule]) -> Included | Request | Unknown:
    """Whether every request that each set of `inside` allows is allowed by `outside`; else a shortest one that is not.

    A rule with an unsupported pattern is left out, and the answer is Unknown where that could have changed it.
    """
    every = [*(rule for rules in inside for rule in rules), *outside]
    question = _Question(every)
    heads = [question.boxes(rules) for rules in inside]
    base, missing = question.boxes(outside)
    missing_heads = next((reason for _, reason in heads if reason), "")
    moved = _rewritten(inside)

    def ask(method: str) -> regular.Answer:
        codes = [regular.union(boxes) for boxes, _ in heads]
        return regular.difference([*codes, question.universe(method)], regular.union(base))

    answer = ask("")
    if isinstance(answer, Included):
        reason = missing_heads or moved
        return Unknown(reason) if reason else answer
    if isinstance(answer, Unknown):
        return answer
    if missing:
        return Unknown(missing)
    if "method" in question.fields and question.request(answer).method not in _COMMON_METHODS:
        for method in _COMMON_METHODS:
            nicer = ask(method)
            if isinstance(nicer, Unknown):
                break
            if isinstance(nicer, Witness):
                return question.request(nicer)
    return question.request(answer)


def _rewritten(inside: Sequence[Sequence[HttpRule]]) -> str:
    """Why the meet of several sets may allow more than each: one adds or removes a header that another looks at."""
    for i, rules in enumerate(inside):
        changed = {name.lower() for rule in rules for name, action, _ in rule.rewrites if action != "LOG"}
        for j, others in enumerate(inside):
            if i != j and any(header.name.lower() in changed for rule in others for header in rule.headers):
                return "one side's rules rewrite a header that the other's look at"
    return ""


class _Question:
    """How the rules of one question become languages: which fields matter, and the symbols of each header name."""

    def __init__(self, rules: Iterable[HttpRule]) -> None:
        used: set[str] = set()
        values: dict[str, tuple[set[str], set[str]]] = {}
        shown: dict[str, str] = {}
        for rule in rules:
            used.update(field for field in _UNIVERSE if getattr(rule, field))
            for header in rule.headers:
                name = header.name.lower()
                if name in _PSEUDO:
                    used.add(_PSEUDO[name])
                else:
                    shown.setdefault(name, header.name)
                    exact, secret = values.setdefault(name, (set(), set()))
                    if header.operator != "present":
                        (exact if header.operator == "exact" else secret).add(header.value)
        self.fields = [field for field in _UNIVERSE if field in used]
        self.names = {name: shown[name] for name in sorted(values)}
        self.symbols: list[tuple[str, str, str]] = []
        for name in self.names:
            exact, secret = values[name]
            self.symbols.append((name, "absent", ""))
            self.symbols.extend((name, "exact", value) for value in sorted(exact))
            self.symbols.append((name, "other", next(text for text in _others() if text not in exact)))
            self.symbols.extend((name, "secret", value) for value in sorted(secret))

    def universe(self, method: str) -> Code:
        """Every request there is (of this method, where one is given)."""
        codes = [
            (regular.literal(method) if method and f == "method" else parse(_UNIVERSE[f])).code for f in self.fields
        ]
        return self._box(codes, {})

    def boxes(self, rules: Sequence[HttpRule]) -> tuple[list[Code], str]:
        """The language of each rule that allows any request, and why rules were left out."""
        out: list[Code] = []
        missing = ""
        for rule in dict.fromkeys(rules):
            fields, reason = _fields(rule)
            headers = {} if reason else self._headers(rule)
            if isinstance(headers, str):
                reason = headers
            elif (
                not reason and all(self._names_possible(rule)) and all(headers.values()) and None not in fields.values()
            ):
                codes = [(fields.get(field) or parse(_UNIVERSE[field])).code for field in self.fields]
                out.append(self._box(codes, headers))
            missing = missing or reason
        return out, missing

    def _names_possible(self, rule: HttpRule) -> Iterable[bool]:
        return (
            bool(header.name) and _NAME.issuperset(header.name.lower()) and header.name.rfind(":") <= 0
            for header in rule.headers
        )

    def _headers(self, rule: HttpRule) -> dict[str, set[int]] | str:
        """Header name -> the symbols it may have; or why nobody can tell."""
        out: dict[str, set[int]] = {}
        for header in rule.headers:
            name = header.name.lower()
            if name in _PSEUDO:
                continue
            allowed = {
                i
                for i, (owner, kind, value) in enumerate(self.symbols)
                if owner == name
                and kind != "absent"
                and (header.operator == "present" or (kind == header.operator and value == header.value))
            }
            out[name] = out[name] & allowed if name in out else allowed
            if not out[name] and any(h.operator == "secret" for h in rule.headers if h.name.lower() == name):
                return "a header must have two values, one of them a secret"
        return out

    def _box(self, fields: Sequence[Code], headers: Mapping[str, set[int]]) -> Code:
        code = list(regular.joined(fields))
        for name in self.names:
            choices = headers.get(name) or {i for i, (owner, _, _) in enumerate(self.symbols) if owner == name}
            code.extend(regular.symbol(regular.SYMBOLS + i for i in choices))
        return tuple(code)

    def request(self, witness: Witness) -> Request:
        """The request that a word stands for."""
        texts: dict[str, str] = {}
        rest = list(witness.symbols)
        for field in self.fields:
            end = rest.index(regular.SEPARATOR)
            texts[field] = "".join(map(chr, rest[:end]))
            rest = rest[end + 1 :]
        headers: list[tuple[str, str]] = []
        for symbol in rest:
            name, kind, value = self.symbols[symbol - regular.SYMBOLS]
            if kind != "absent":
                headers.append((self.names[name], f"(secret {value})" if kind == "secret" else value))
        return Request(texts.get("method", "GET"), texts.get("path", "/"), texts.get("host", ""), tuple(headers))


def _others() -> Iterable[str]:
    text = "other"
    while True:
        yield text
        text += "-"


def _fields(rule: HttpRule) -> tuple[dict[str, Pattern | None], str]:
    """The pattern of each field that the rule restricts (None: no value can do), and why nobody can tell.

    The pseudo-headers among `headers`, and Host, which is another name of :authority, speak of fields too.
    """
    out: dict[str, Pattern | None] = {
        field: _parsed(getattr(rule, field)) for field in _UNIVERSE if getattr(rule, field)
    }
    for header in rule.headers:
        field = _PSEUDO.get(header.name.lower())
        if field is None or header.operator == "present":
            continue
        if header.operator == "secret":
            return out, f"{field} must be the value of a secret"
        pattern = out.get(field, parse(_UNIVERSE[field]))
        found = pattern is not None and regular.matches(pattern, header.value)
        if found is None:
            return out, pattern.unsupported if pattern else ""
        out[field] = regular.literal(header.value) if found else None
    return out, next((pattern.unsupported for pattern in out.values() if pattern and pattern.unsupported), "")
