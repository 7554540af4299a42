"""From a map to a velocity: frontiers, geodesic distance, paths, control, the collision guard. Knows nothing of language."""
