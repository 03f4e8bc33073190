"""Projects: a contract's source, a plan of what happens on a chain, and the batch that is made of both."""
