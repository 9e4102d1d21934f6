"""One file a rule: `RULE` says what it is, `check` takes a Context and gives what it finds."""
