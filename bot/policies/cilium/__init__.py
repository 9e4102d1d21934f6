"""Cilium's policies: the two gates, selectors, peers, ports, rules, and the endpoints they speak of (docs/cilium.md)."""
