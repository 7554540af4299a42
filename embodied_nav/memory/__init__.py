"""The robot's 3D memory: voxels, objects, keyframes, an occupancy grid, one file. Knows nothing of ROS and of models.

from embodied_nav.memory import MemoryConfig, SpatialMemory

memory = SpatialMemory(MemoryConfig(voxel_size=0.05))
memory.integrate(frame)
grid, objects = memory.occupancy(), memory.objects()
"""

from .config import MemoryConfig, RetentionConfig
from .records import ChangedBlocks, IntegrationStats, KeyframeRecord, VoxelView
from .spatial_memory import SpatialMemory, merge
from .warm_up import warm_up

__all__ = [
    "ChangedBlocks",
    "IntegrationStats",
    "KeyframeRecord",
    "MemoryConfig",
    "RetentionConfig",
    "SpatialMemory",
    "VoxelView",
    "merge",
    "warm_up",
]
