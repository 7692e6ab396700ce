"""Finds what nobody thought of: sequences of acts, all of them up to a length, or drawn, held to the oracle each step."""
