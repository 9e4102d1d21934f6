"""Files in, Kubernetes objects and workloads with where they stand out."""
