"""The same numbers as the plain loop, several times faster: prefix trees, a streamed head, low-rank fine-tuning."""
