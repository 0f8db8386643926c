"""Task formats: how examples become tensors and predictions become scores."""
