"""A Snapshot and a Chain in, Paths and Changes out; no policy API is known here."""
