"""A Review (or listing, verification, explanation) in, one format a module out; nothing here decides anything."""
