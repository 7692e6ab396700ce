"""How pytest runs scenarios: the only room that imports it."""
