"""What the metadata claims: base model, training, trigger words, strength."""
