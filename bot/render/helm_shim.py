"""The arguments of `helm template` as Kustomize gives them in, the rendered chart on stdout: a program of its own, in place of helm."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

_HOOK = re.compile(r"""^\s+["']?helm\.sh/hook["']?:""", re.MULTILINE)
_TEST = re.compile(r"""^\s+["']?helm\.sh/hook["']?:\s*["']?test""", re.MULTILINE)
KNOWN = "1.36"


def main() -> int:
    """Exit status 1 with the reason on stderr where the chart cannot be rendered."""
    from argparse import ArgumentParser

    if sys.argv[1:2] == ["version"]:
        sys.stdout.write("v3.19.0\n")
        return 0
    parser = ArgumentParser(prog="helm", add_help=False, exit_on_error=False)
    parser.add_argument("command", choices=["template"])
    parser.add_argument("release")
    parser.add_argument("chart")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--values", "-f", action="append", default=[])
    parser.add_argument("--api-versions", action="append", default=[])
    parser.add_argument("--kube-version", default="")
    for name in ("--include-crds", "--skip-tests", "--no-hooks", "--debug"):
        parser.add_argument(name, action="store_true")
    try:
        asked, more = parser.parse_known_args()
        if more:
            raise ValueError(f"{more[0]} needs helm itself on PATH")
        sys.stdout.write(_rendered(asked))
    except Exception as error:  # whatever the library raises ends this program, with its words
        sys.stderr.write(f"Error: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _rendered(asked: Any) -> str:
    from helm_child import merge  # type: ignore[import-not-found]
    from helm_python import Chart
    from helm_python.chart import values_from_yaml

    crds, depends = _files(asked.chart)
    if depends and (asked.api_versions or not f"{asked.kube_version.removeprefix('v')}.".startswith(f"{KNOWN}.")):
        raise ValueError(f"{depends} depends on .Capabilities, of which only helm on PATH can be told")
    values: dict[str, Any] = {}
    for file in asked.values:
        with open(file, encoding="utf-8") as stream:
            merge(values, values_from_yaml(stream.read()))
    with Chart.load(asked.chart) as chart:
        rendered = chart.render(values, name=asked.release, namespace=asked.namespace, is_install=True)
    texts = crds if asked.include_crds else []
    for name, content in sorted(rendered.items()):
        if not name.endswith("NOTES.txt"):
            texts += re.split(r"^---(?:[ \t].*)?\n", content + "\n", flags=re.MULTILINE)
    unwanted = _HOOK if asked.no_hooks else _TEST if asked.skip_tests else None
    return "".join(f"---\n{text}\n" for text in texts if text.strip() and not (unwanted and unwanted.search(text)))


def _files(chart: str) -> tuple[list[str], str]:
    """The definitions that a chart brings, and a template of it that asks what the cluster can do ('': none)."""
    crds, depends = [], ""
    for folder, folders, names in os.walk(chart):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                data = stream.read()
            if os.path.basename(folder) == "crds" and name.endswith((".yaml", ".yml", ".json")):
                crds.append(data.decode("utf-8", "replace"))
            if b".Capabilities" in data and f"{os.sep}templates" in folder:
                depends = os.path.relpath(path, chart)
    return crds, depends


if __name__ == "__main__":
    # The program stands beside the other one, which merges values.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
