"""Figures: arrays and an Axes in, ink out; no statistic is computed here."""
