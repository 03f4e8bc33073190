"""Experiments: a question, the variants that answer it, and the workloads it is asked of."""
