"""The demo adapters: their plans, their training sets, and how they are trained."""
