"""Packed keys, the block hash of voxels, fusion, carving, features, eviction to disk. Knows no keyframes."""
