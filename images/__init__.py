"""The guest: how it is built from the distribution's packages."""
