"""What can be done: an act is a frozen value with two pure methods, `call(state)` and `after(state)`."""
