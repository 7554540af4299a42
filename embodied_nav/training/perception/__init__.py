"""Training of the compact perception network in the embedded simulator: views, loop, export, card."""
