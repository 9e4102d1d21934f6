"""What netreach says on GitHub: the comment, the check run, and the Action that brings them there."""
