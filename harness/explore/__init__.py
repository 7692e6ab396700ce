"""Finds what nobody thought of: sequences of acts, all up to a length or drawn, held to the oracle after each."""
