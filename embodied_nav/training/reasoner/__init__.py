"""Training problem of the reasoner: states, options and their returns, without rendering. Knows nothing of networks."""
