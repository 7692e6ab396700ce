"""What a person reads of a run: pure functions of journals, findings and results."""
