"""The head and its chains with and without its staged policies in; what those would open and close if they were enforced, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bot.policies.model import Lowered, Staged
from bot.reachability.analysis import Difference, compare

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot


def if_enforced(head: Snapshot, lowered: Lowered, staged: Staged, complete: Sequence[str] = ()) -> Difference:
    """The head against itself with its staged policies enforced: the rows that one of the new ones has a part in."""
    words = lowered.vocabulary
    extra = tuple(one._replace(base=True) for one in words.extra if one.head)
    vocabulary = words._replace(base_attributes=None, extra=extra)
    both = lowered._replace(base=staged.plain, head=staged.enforced, vocabulary=vocabulary)
    found = compare(head, head, both, complete=complete)
    titles = {
        policy.title
        for chain in (staged.plain, staged.enforced)
        for policy in chain.policies
        if policy.key in staged.keys
    }
    rows = tuple(row for row in found.changes if any(cause.object in titles for cause in row.causes))
    return found._replace(changes=rows)
