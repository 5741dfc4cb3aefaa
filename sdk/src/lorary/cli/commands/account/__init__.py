"""Commands on your account, its tokens and its uploads."""
