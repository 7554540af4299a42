"""What things are: label votes of voxels, clusters with ids that last. Knows voxels, no keyframes and no questions."""
