"""Random reviews in, their comments held to what a comment must be out: within 60,000 bytes, balanced, counts true, blocked rows there.

`python scripts/fuzz_comment.py [COUNT [FIRST]]`, 10,000 from seed 0 by default, hostile names among them, every tenth
through GitHub's own dialect; exit 1 at the first that fails.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from time import process_time

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bot.report import markdown
from tests.github import test_html
from tests.report import reviews, test_markdown


def rows(seed: int) -> int:
    """How many rows: mostly up to 5,000 paths, one in a hundred up to 5,000 rows."""
    pick = random.Random(seed)  # noqa: S311
    return pick.randint(0, 5000) if pick.random() < 0.01 else pick.randint(0, 140)


def main(count: int, first: int) -> int:
    begun = process_time()
    longest = most = 0
    steps: Counter[str] = Counter()
    for seed in range(first, first + count):
        value = reviews.randomly(seed, rows(seed))
        body = markdown.review(value, test_markdown.LINK if seed % 2 else None)
        try:
            test_markdown.check(body, value)
            if seed % 10 == 0:
                test_html.balanced(body)
        except AssertionError as error:
            print(f"seed {seed}: {error}", file=sys.stderr)
            return 1
        longest = max(longest, len(body.encode("utf-8")))
        most = max(most, sum(test_markdown.counts(value)))
        steps["cut" if "more group" in body else "whole"] += 1
    print(
        f"{count:,} comments, the longest {longest:,} bytes, up to {most:,} paths, "
        f"{steps['cut']:,} with rows left out, {process_time() - begun:.0f} s CPU"
    )
    return 0


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*numbers, *(10_000, 0)[len(numbers) :]))
