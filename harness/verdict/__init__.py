"""Whether it held: the checks after every scenario, and what is kept when one fails."""
