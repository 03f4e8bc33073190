"""Dishonest segments and runs of them: what a prover fills who lies and has everything else follow.

May import of `scripts`: nothing.
"""
