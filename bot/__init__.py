"""netreach: what a pull request opens and closes in a Kubernetes cluster's network, and why."""

__version__ = "0.1.0"
