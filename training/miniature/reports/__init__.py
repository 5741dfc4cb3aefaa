"""Contact sheets and figures of what was trained."""
