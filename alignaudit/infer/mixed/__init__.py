"""Linear and generalised linear mixed models with crossed random effects, certified at their optimum."""
