"""Proof that we notice: saboteurs, runs inside a scenario, and what a run has left behind."""
