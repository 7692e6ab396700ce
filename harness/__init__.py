"""chainproof's library: proves what happens to a guest's disk while its backing chain changes under it."""
