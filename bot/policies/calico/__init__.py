"""Calico's policies, sets, tiers and host endpoints in, Policies of the common model out."""
