"""The operator's pages, which only staff can see."""
