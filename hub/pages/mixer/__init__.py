"""The mixer: a stack of adapters in an address, its form and its pictures."""
