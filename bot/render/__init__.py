"""A side's files in; the manifests that its kustomizations, charts and GitOps objects stand for out."""
