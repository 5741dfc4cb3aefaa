"""What the tensors prove about the base model."""
