"""A chart and its options as JSON on stdin, its rendered templates as JSON on stdout: a program of its own, so that it can be killed."""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> int:
    """Exit status 1 with the reason on stderr where the chart cannot be rendered."""
    from helm_python import Chart
    from helm_python.chart import values_from_yaml
    from helm_python.errors import HelmError

    asked = json.loads(sys.stdin.buffer.read())
    try:
        values: dict[str, Any] = {}
        for file in asked["values"]:
            with open(file, encoding="utf-8") as stream:
                merge(values, values_from_yaml(stream.read()))
        for name, value, is_text in asked["parameters"]:
            merge(values, _parameter(name, value, is_text))
        for name, path in asked.get("files", []):
            with open(path, encoding="utf-8") as stream:
                merge(values, _parameter(name, stream.read(), is_text=True))
        with Chart.load(asked["chart"]) as chart:
            rendered = chart.render(values, name=asked["release"], namespace=asked["namespace"], is_install=True)
    except (HelmError, OSError, ValueError) as error:
        words = " ".join(str(error).split())
        sys.stderr.write(f"Error: {words}\n")
        return 1
    sys.stdout.write(json.dumps(rendered))
    return 0


def merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """As Helm merges values files: mappings are merged, anything else is replaced, and null stays to remove a default."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def _parameter(name: str, value: str, is_text: bool) -> dict[str, Any]:
    """`--set a.b=c` (https://helm.sh/docs/intro/using_helm/#the-format-and-limitations-of---set), for plain names. Raises ValueError."""
    parts = name.split(".")
    if not all(parts) or any(character in name for character in "[]\\{},="):
        raise ValueError(f"the parameter {name} needs helm itself on PATH")
    kept: Any = value
    if not is_text:
        kept = {"true": True, "false": False, "null": None}.get(value, value)
        if (
            isinstance(kept, str)
            and kept.lstrip("-").isdigit()
            and (kept == "0" or not kept.lstrip("-").startswith("0"))
        ):
            kept = int(kept)
    for part in reversed(parts):
        kept = {part: kept}
    found: dict[str, Any] = kept
    return found


if __name__ == "__main__":
    sys.exit(main())
