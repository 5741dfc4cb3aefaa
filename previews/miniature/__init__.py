"""The miniature: a tiny text-to-image base, its demo adapters and their recipe."""
