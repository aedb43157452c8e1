"""The tests. Their layout mirrors `agent/` and `hw/`; what the repository asks of itself stands at the top level."""
