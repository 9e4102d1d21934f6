"""Several renderings of one chart in, one that is the same each time out: what templates make by chance has one fixed value.

The functions: https://helm.sh/docs/chart_template_guide/function_list/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bot.render.cage import Failed

PLACEHOLDER = "netreach-random"
RENDERINGS = 3
_FUNCTION = re.compile(
    rb"\b(?:rand(?:AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|uuidv4|shuffle|gen(?:PrivateKey|CA|CAWithKey|SelfSignedCert|SelfSignedCertWithKey"
    rb"|SignedCert|SignedCertWithKey)|htpasswd|bcrypt|encryptAES|derivePassword)\b"
)
_ACTION = re.compile(rb"\{\{.*?\}\}", re.DOTALL)
_TEXT = re.compile(rb'"(?:\\.|[^"\\])*"|`[^`]*`')
_NOW = re.compile(rb"(?<![\w.$-])now(?![\w-])")
_RANGE = re.compile(rb"\brandInt[ \t]+(-?\d+)[ \t]+-?\d+")
_TOKEN = re.compile(r"[^\s\"',;{}\[\]()]+")
_NAME = re.compile(r"[a-z0-9.-]+")
_KEY = re.compile(r"\s*(?:- +)*(?:[\w./-]+|\"[^\"]*\"|'[^']*'): +(?=\S)")
# Objects whose content decides nothing of what can reach what.
_SILENT = re.compile(
    r"^kind: *[\"']?(?:Secret|ConfigMap|ValidatingWebhookConfiguration|MutatingWebhookConfiguration|APIService)\b",
    re.MULTILINE,
)


class Called(NamedTuple):
    """The first place where a template of a chart calls for chance."""

    function: str
    file: str
    line: int


def called(contents: Mapping[str, bytes]) -> Called | None:
    """Where it is called for among a chart's files; None: what it renders is the same each time."""
    for path, data in contents.items():
        found = _FUNCTION.search(data) if "templates/" in path else None
        if found is not None and any(_FUNCTION.search(action) for action in _ACTION.findall(data)):
            return Called(found[0].decode(), path, data[: found.start()].count(b"\n") + 1)
    return None


def fixed(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """A chart's files with a fixed time, and with the least number in place of any: two renderings could agree on them by chance."""

    def put(path: str, data: bytes) -> bytes:
        if "templates/" not in path or not (b"now" in data or b"randInt" in data):
            return data
        return _ACTION.sub(lambda found: _steady(found[0]), data)

    return {path: put(path, data) for path, data in contents.items()}


def _steady(action: bytes) -> bytes:
    out, at = [], 0
    for text in _TEXT.finditer(action):
        out += [_replaced(action[at : text.start()]), text[0]]
        at = text.end()
    return b"".join([*out, _replaced(action[at:])])


def _replaced(code: bytes) -> bytes:
    return _RANGE.sub(rb"(int \1)", _NOW.sub(b'(toDate "2006-01-02" "2000-01-01")', code))


Documents = list[tuple[str, "str | None"]]


def steady(render: Callable[[], Documents], source: Called) -> Documents:
    """What a chart renders, with a placeholder for whatever is another thing each time. Raises Failed where the objects themselves are."""
    found = [render() for _ in range(RENDERINGS)]
    first, *others = found
    if any([origin for _, origin in other] != [origin for _, origin in first] for other in others):
        raise _other(source)
    return [(_same([other[index][0] for other in found], source), origin) for index, (_, origin) in enumerate(first)]


def _other(source: Called) -> Failed:
    return Failed(f"it renders other objects each time ({source.function} in {source.file})")


def _same(texts: Sequence[str], source: Called) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    lines = [text.split("\n") for text in texts]
    if len({len(of) for of in lines}) == 1:
        return "\n".join(_line(of, source.function) for of in zip(*lines, strict=True))
    if not _SILENT.search(texts[0]):
        raise _other(source)
    kept = []
    for of in zip(*lines, strict=False):
        if len(set(of)) > 1:
            break
        kept.append(of[0])
    return "\n".join([*kept, ""])


def _line(lines: Sequence[str], function: str) -> str:
    if len(set(lines)) == 1:
        return lines[0]
    parts = [_TOKEN.findall(line) for line in lines]
    rests = {_TOKEN.sub("\0", line) for line in lines}
    if len(rests) > 1 or function in ("randAscii", "randBytes"):
        key = _KEY.match(lines[0])
        return f"{key[0] if key else ' ' * (len(lines[0]) - len(lines[0].lstrip()))}{PLACEHOLDER}"
    made = iter([_token(of) for of in zip(*parts, strict=True)])
    return _TOKEN.sub(lambda _: next(made), lines[0])


def _token(tokens: Sequence[str]) -> str:
    """What all renderings have, else the placeholder; of names with the parts that all have."""
    if len(set(tokens)) == 1:
        return tokens[0]
    ends = ":" if all(token.endswith(":") for token in tokens) else ""
    parts = (
        [token.removesuffix(ends).split("-") for token in tokens] if ends else [token.split("-") for token in tokens]
    )
    if not all(_NAME.fullmatch("-".join(of)) for of in parts) or len({len(of) for of in parts}) > 1:
        return PLACEHOLDER + ends
    out: list[str] = []
    for of in zip(*parts, strict=True):
        part = of[0] if len(set(of)) == 1 else PLACEHOLDER
        if part != PLACEHOLDER or out[-1:] != [PLACEHOLDER]:
            out.append(part)
    return "-".join(out) + ends
