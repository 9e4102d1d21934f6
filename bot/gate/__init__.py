"""Changes and what could not be read in, a verdict and the process's exit code out; the expectations file."""
