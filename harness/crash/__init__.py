"""What power loss leaves: a recorder of every write and flush, crash states, and their judgement."""
