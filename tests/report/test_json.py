"""JSON documents: valid by their schemas, stable, and safe in a CI log."""

from __future__ import annotations

import json as standard
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bot.policies import traffic
from bot.policies.traffic import ICMP, TCP, UDP, Box, ports, union
from bot.report import json
from tests.report import reviews

SCHEMAS = Path(json.__file__).parents[1] / "schemas"


@cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = standard.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """What was written, read again, after its schema has agreed."""
    text = json.dumps(document)
    assert text.isascii()
    assert "##[" not in text
    read = standard.loads(text)
    assert read == standard.loads(standard.dumps(document))
    validator(document["schema"].split("/")[1]).validate(read)
    return dict(read)


@pytest.mark.parametrize("name", ["BLOCKED", "LOOK", "PASS", "INCOMPLETE", "TWO", "MOVED"])
def test_every_review_is_valid(name: str) -> None:
    value = getattr(reviews, name)
    assert checked(json.review(value))["verdict"] == value.verdict


def test_hostile_names_come_through_unchanged() -> None:
    document = checked(json.review(reviews.hostile()))
    causes = [row["causes"][0]["object"] for row in document["environments"][0]["changes"]]
    assert causes == [f"{name}/{name}" for name in reviews.HOSTILE]


@pytest.mark.parametrize("seed", range(20))
def test_random_reviews_are_valid(seed: int) -> None:
    checked(json.review(reviews.randomly(seed, seed * 3)))


def test_the_other_documents_are_valid() -> None:
    listing = checked(json.listing(reviews.LISTING))
    assert [row.get("certainty") for row in listing["paths"]] == [None, None, None, "possible"]
    assert listing["paths"][1]["ports"] == "all"
    assert listing["paths"][3]["because"] == ["pod-cidrs"]
    assert checked(json.verification(reviews.VERIFICATION))["unmatched"][0]["why"] == "nothing is called shop/gone"
    checked(json.explanation(reviews.EXPLANATION))


def test_schemas_refuse_what_they_do_not_know() -> None:
    document = json.review(reviews.LOOK)
    document["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validator("report").validate(document)


def test_pairs_have_a_status() -> None:
    pairs = checked(json.review(reviews.MOVED))["environments"][0]["pairs"]
    assert [pair["status"] for pair in pairs] == ["added", "changed", "removed", "added"]
    assert pairs[0]["endpoint"] == "to added"
    assert pairs[3] == {
        "from": "shop/svc-2",
        "to": "batch/job-0",
        "before": "none",
        "after": "none",
        "afterPossible": "all",
        "status": "added",
    }
    assert "pairs" not in json.review(reviews.LOOK)["environments"][0]


def test_tables_hide_and_json_does_not() -> None:
    sources = json.review(reviews.BLOCKED)["environments"][0]["changes"][0]["from"]
    assert reviews.EXPOSURE.id in sources
    assert reviews.PRODUCTION.id in sources


def test_ports() -> None:
    convert = json.Ports(reviews.UNIVERSE).some
    assert convert(reviews.UNIVERSE) == "all"
    assert convert(union(ports(TCP, 80, 90), ports(UDP, 53, 53))) == [
        {"protocol": "TCP", "from": 80, "to": 90},
        {"protocol": "UDP", "from": 53, "to": 53},
    ]
    assert convert(
        (Box(TCP << 16 | 80, TCP << 16 | 80, 1024, 2000), Box(TCP << 16 | 80, TCP << 16 | 80, 3000, 3000))
    ) == [
        {
            "protocol": "TCP",
            "from": 80,
            "to": 80,
            "sourcePorts": [{"from": 1024, "to": 2000}, {"from": 3000, "to": 3000}],
        }
    ]
    assert convert((Box(ICMP << 16 | 8 << 8, ICMP << 16 | 9 << 8 | 1),)) == [
        {
            "protocol": "ICMP",
            "from": 2048,
            "to": 2305,
            "types": [{"type": 8}, {"type": 9, "code": 0}, {"type": 9, "code": 1}],
        }
    ]
    across = traffic.union(ports(46, 5), ports(47))
    assert convert(across) == [{"protocol": 46, "from": 5, "to": 65535}, {"protocol": 47, "from": 0, "to": 65535}]


def test_the_same_bytes_twice() -> None:
    assert json.dumps(json.review(reviews.hostile())) == json.dumps(json.review(reviews.hostile()))
