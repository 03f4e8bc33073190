"""What the project needs beside its pipeline: batches to prove, attacks on it, benchmarks, and the pinned keys.

Scripts import no tests; tests may import scripts.
"""
