"""Ways to obtain the influence of a probe."""
