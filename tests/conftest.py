"""What every test may use: small Git repositories whose commits are the same on every machine."""

from __future__ import annotations
