"""The text of .netreach.yml in, a Config out, with the line of every mistake."""
