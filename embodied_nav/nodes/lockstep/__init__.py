"""Lock-step and pacing: which node has processed which frame, and in what order. Knows no particular node."""
