"""Runnable comparisons; each writes a JSON beside itself that the README quotes."""
