"""Which base model fits pictures of an adapter: errors of denoising, and what they tell."""
