"""How fast the harness is: against the script that a person would write, and against the bare API calls."""
