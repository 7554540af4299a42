"""Packed integer keys of voxels and their hash. Knows nothing of what is stored under them.

A voxel is the integer triple floor(p / voxel_size), computed in float64. Its key packs three 21-bit numbers, offset by
2^20, into one non-negative int64: +-1,048,575 voxels along each axis (+-52 km at 5 cm). Keys never leave the memory:
files and messages carry metric positions.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BITS = 21
OFFSET = 1 << (BITS - 1)
MASK = (1 << BITS) - 1
#: A block is 8x8x8 voxels.
BLOCK_BITS = 3
BLOCK_SIDE = 1 << BLOCK_BITS
BLOCK_VOXELS = BLOCK_SIDE**3
NO_KEY = -1

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, inline="always")
def pack(x: int, y: int, z: int) -> int:
    """Key of a voxel (x, y, z), each within +-(2^20 - 1)."""
    return ((np.int64(x) + OFFSET) << (2 * BITS)) | ((np.int64(y) + OFFSET) << BITS) | (np.int64(z) + OFFSET)


@njit(cache=True, nogil=True, inline="always")
def unpack(key: int) -> tuple[int, int, int]:
    """The voxel (x, y, z) of a key."""
    return (key >> (2 * BITS)) - OFFSET, ((key >> BITS) & MASK) - OFFSET, (key & MASK) - OFFSET


@njit(cache=True, nogil=True, inline="always")
def block_key(key: int) -> int:
    """Key of the block that holds a voxel: the packed triple of block numbers (voxel + 2^20) >> 3."""
    x = key >> (2 * BITS + BLOCK_BITS)
    y = ((key >> BITS) & MASK) >> BLOCK_BITS
    z = (key & MASK) >> BLOCK_BITS
    return (x << (2 * BITS)) | (y << BITS) | z


@njit(cache=True, nogil=True, inline="always")
def slot_in_block(key: int) -> int:
    """Place of a voxel in its block, 0 to 511, x slowest."""
    x = (key >> (2 * BITS)) & (BLOCK_SIDE - 1)
    y = (key >> BITS) & (BLOCK_SIDE - 1)
    z = key & (BLOCK_SIDE - 1)
    return (x << (2 * BLOCK_BITS)) | (y << BLOCK_BITS) | z


@njit(cache=True, nogil=True, inline="always")
def block_number(key: int) -> tuple[int, int, int]:
    """The numbers (x, y, z), 0 or more, of a block's key."""
    return key >> (2 * BITS), (key >> BITS) & MASK, key & MASK


@njit(cache=True, nogil=True, inline="always")
def first_voxel(key: int) -> tuple[int, int, int]:
    """The lowest voxel (x, y, z) of a block, by the block's key."""
    x, y, z = block_number(key)
    return x * BLOCK_SIDE - OFFSET, y * BLOCK_SIDE - OFFSET, z * BLOCK_SIDE - OFFSET


@njit(cache=True, nogil=True, inline="always")
def hash_key(key: int, bits: int) -> int:
    """Home slot in a table of 2^bits: xor-shift folds the x bits down, the multiplication carries all of them up."""
    h = np.uint64(key)
    h ^= h >> np.uint64(32)
    h *= _MULTIPLIER
    h ^= h >> np.uint64(29)
    h *= _MULTIPLIER
    return np.int64(h >> np.uint64(64 - bits))


@intrinsic
def count_bits(typingctx, value):
    """How many bits of a uint64 are set."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def lowest_bit(typingctx, value):
    """Number of the lowest bit set of a uint64, 64 for none."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def unpack_array(keys: np.ndarray) -> np.ndarray:
    """Nx3 int64 voxels of N keys."""
    return block_numbers(keys) - OFFSET


def pack_array(voxels: np.ndarray) -> np.ndarray:
    """N int64 keys of Nx3 voxels."""
    return pack_numbers(np.asarray(voxels, dtype=np.int64) + OFFSET)


# ---- keys of blocks: triples of block numbers, 0 or more, packed like a voxel's ----


def block_numbers(keys: np.ndarray) -> np.ndarray:
    """Nx3 int64 numbers, 0 or more, of N block keys (of anything packed without the offset)."""
    keys = np.asarray(keys, dtype=np.int64)
    return np.stack([keys >> (2 * BITS), (keys >> BITS) & MASK, keys & MASK], axis=-1)


def pack_numbers(numbers: np.ndarray) -> np.ndarray:
    """N int64 keys of Nx3 numbers that are 0 or more, such as a block's."""
    return (numbers[..., 0] << (2 * BITS)) | (numbers[..., 1] << BITS) | numbers[..., 2]


def blocks_of_keys(keys: np.ndarray) -> np.ndarray:
    """(N,) int64 keys of the blocks that hold N voxels, by these voxels' keys."""
    return pack_numbers(block_numbers(keys) >> BLOCK_BITS)


def slots_of_keys(keys: np.ndarray) -> np.ndarray:
    """(N,) int64 places of voxels in their blocks, 0 to 511, x slowest."""
    x, y, z = (block_numbers(keys) & (BLOCK_SIDE - 1)).T
    return (x << (2 * BLOCK_BITS)) | (y << BLOCK_BITS) | z


def keys_in_blocks(blocks: np.ndarray | int, slots: np.ndarray) -> np.ndarray:
    """(N,) int64 keys of the voxels at N places (0 to 511) of blocks, by block keys: N, or one for all."""
    slots, side = np.asarray(slots, dtype=np.int64), BLOCK_SIDE - 1
    inside = np.stack([slots >> (2 * BLOCK_BITS), (slots >> BLOCK_BITS) & side, slots & side], axis=-1)
    return pack_numbers((block_numbers(blocks) << BLOCK_BITS) + inside)


def block_corners(keys: np.ndarray, voxel_size: float) -> np.ndarray:
    """Nx3 float64 lower corners (m) of blocks by their keys."""
    return (block_numbers(keys) * BLOCK_SIDE - OFFSET) * voxel_size


def block_at(corner: tuple[float, float, float], voxel_size: float) -> int:
    """Key of the block with a lower corner (m), up to rounding."""
    number = np.rint(np.asarray(corner) / (BLOCK_SIDE * voxel_size)).astype(np.int64) + (OFFSET >> BLOCK_BITS)
    return int(pack_numbers(number))
