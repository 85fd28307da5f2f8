"""Empirical influence functions: what a neural network learns from one example."""
