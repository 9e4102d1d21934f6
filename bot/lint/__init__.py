"""Two snapshots and their chains in; the classic mistakes in them, each with its place and its fix, out."""
