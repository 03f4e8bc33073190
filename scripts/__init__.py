"""Benchmarks, experiments and builders of examples and fixtures."""
