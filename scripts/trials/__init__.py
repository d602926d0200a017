"""Trials on real parts: what happens is drawn from a seed, done, and judged."""
