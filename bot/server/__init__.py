"""Webhooks in, reviews on pull requests out: the GitHub App (docs/app.md)."""
