"""Floor 3: the experiment layer, the only place that imports torch and transformers."""
