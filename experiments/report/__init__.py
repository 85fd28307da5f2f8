"""The report: every saved run as one static site, which opens from disk."""
