"""The batch proving service: an HTTP API, a queue and a page around the prover that the command line uses."""
