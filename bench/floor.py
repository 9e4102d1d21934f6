"""The bare parse: every distinct document of two folders through PyYAML's C composer, and nothing else (the floor of any tool here)."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml


def main(folders: list[str]) -> None:
    """Compose each distinct document of the folders once."""
    seen: set[bytes] = set()
    for folder in folders:
        for file in sorted(Path(folder).rglob("*.yaml")):
            for document in file.read_bytes().split(b"\n---\n"):
                if document not in seen:
                    seen.add(document)
                    yaml.CSafeLoader(document).get_single_node()


if __name__ == "__main__":
    main(sys.argv[1:])
