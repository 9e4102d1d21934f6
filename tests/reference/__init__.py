"""A second reading of the semantics: one pair, one port at a time, over manifests as plain dicts; imports nothing of `bot`.

It is written from the Kubernetes documents alone, slowly and obviously, so that the product's evaluator has something to
disagree with. `tests/test_reference.py` holds it against the recorded verdicts first.
"""
