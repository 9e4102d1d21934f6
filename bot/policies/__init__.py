"""Policy objects in, a Chain out: every policy API is lowered to the one model of `model.py`."""
