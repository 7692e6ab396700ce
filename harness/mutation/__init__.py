"""Mutation of our own oracle and checks: what is changed in them on purpose must be noticed by a test."""
