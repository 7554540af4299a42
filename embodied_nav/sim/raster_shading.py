"""Numba kernels that colour a visibility buffer: textures, light. Knows nothing of triangles and of scene files.

A row is shaded in passes over buffers of a few hundred pixels. What can be computed for many pixels at once (hit
points, mip levels, texel indices) is written so that the compiler uses vector instructions: loops from 0 without
branches, at constant offsets in one buffer per dtype, in whole blocks. Table look-ups go pixel by pixel.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

#: Columns shaded at a time, and block size in pixels: runs are rounded up to whole blocks, parts padded by one block.
STRIP, BLOCK = 512, 8
_PART = STRIP + BLOCK
#: Parts of the float64 buffer: the ray's x, texels a pixel (to the power of two).
_SPREAD = _PART
#: Parts of the float32 buffer, after depth: 1 / depth, texture coordinates, place in the light grid, texels' density.
_INVERSE, _U, _V, _X, _Y, _Z, _DENSITY = (k * _PART for k in range(1, 8))
#: Parts of the int32 buffer, after the mip level: its weight, where a face's front or back shade begins, log2 of the
#: texture's sides, and of either level the texels (left, right, top, bottom) and the weights of right and bottom.
_WEIGHT, _SIDE, _LOG_WIDTH, _LOG_HEIGHT, _TEXELS = (k * _PART for k in range(1, 6))
_LEFT, _RIGHT, _TOP, _BOTTOM, _TO_RIGHT, _TO_BOTTOM = (k * _PART for k in range(6))
_LEVEL = 6 * _PART
#: 2 / (ln 2 (2 k + 1)): log2 of m is the sum of these times q^(2 k + 1), q = (m - 1) / (m + 1).
_LOG = tuple(2.0 / (math.log(2.0) * (2 * k + 1)) for k in range(8))
_LEAST_MANTISSA = np.int64(0x3FE8000000000000)  # 0.75 as bits


@njit(cache=True, nogil=True, error_model="numpy")
def shade(
    inverse, ids, T, intrinsics, planes, instance, maps, texture, density, levels, texels, shades,
    light, light_origin, light_cell, light_offset, background, color, depth, instances,
):  # fmt: skip
    """Colour (HxWx3 uint8), depth and instance ids of a visibility buffer; as ``resolve_depth`` otherwise.

    Texture coordinates are affine on a face's plane, so they come from the hit point itself: perspective needs no
    division of their own. The mip level follows from the ratio of texel to pixel area.
    """
    height, width = ids.shape
    fx, fy, px, py = intrinsics
    pixels = np.float32(math.log2(fx * fy))
    grid = (light_origin[0], light_origin[1], light_origin[2], 1.0 / light_cell, light_offset)
    wide, single, whole = np.zeros(2 * _PART), np.zeros(8 * _PART, np.float32), np.zeros(17 * _PART, np.int32)
    for start in range(0, width, STRIP):
        end = min(start + STRIP, width)
        n = end - start
        for k in range(_PART):
            wide[k] = (start + k - px) / fx
        for v in range(height):
            for k in range(n):
                single[k + _INVERSE] = inverse[v, start + k]
            faces = ids[v, start:end]
            _hits(faces, T, (v - py) / fy, planes, maps, texture, density, levels, pixels, grid, wide, single, whole)
            _mip_levels(n, levels.shape[1] - 2, wide, single, whole)
            _texels(n, 0, single, whole, whole[_TEXELS:])
            _texels(n, 1, single, whole, whole[_TEXELS + _LEVEL :])
            depth[v, start:end] = single[:n]
            _color(
                faces, single, whole, instance, texture, levels, texels, shades, light, background,
                color[v, start:end], instances[v, start:end],
            )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _hits(faces, T, y, planes, maps, texture, density, levels, pixels, grid, wide, single, whole):
    """Where the rays of one row meet their faces: depth, texture coordinates, place in the light grid, texel area."""
    cx, cy, cz = T[0, 3], T[1, 3], T[2, 3]
    a0, a1, a2 = T[0, 0], T[1, 0], T[2, 0]
    b0, b1, b2 = T[0, 1] * y, T[1, 1] * y, T[2, 1] * y
    c0, c1, c2 = T[0, 2], T[1, 2], T[2, 2]
    low0, low1, low2, per_cell, light_offset = grid
    begin, n = 0, len(faces)
    while begin < n:
        f = faces[begin]
        end = begin + 1
        while end < n and faces[end] == f:
            end += 1
        D, F, W = wide[begin:], single[begin:], whole[begin:]
        count = (end - begin + BLOCK - 1) // BLOCK * BLOCK
        begin = end
        if f < 0:
            for k in range(count):
                F[k] = np.float32(np.nan)
            continue
        n0, n1, n2 = planes[f, 0], planes[f, 1], planes[f, 2]
        away = planes[f, 3] - n0 * cx - n1 * cy - n2 * cz
        u0, u1, u2, u3 = maps[f, 0], maps[f, 1], maps[f, 2], maps[f, 3]
        v0, v1, v2, v3 = maps[f, 4], maps[f, 5], maps[f, 6], maps[f, 7]
        o0, o1, o2 = light_offset * n0, light_offset * n1, light_offset * n2
        t = texture[f]
        log_width, log_height, texels_here = levels[t, 0, 1], levels[t, 0, 2], density[f] - pixels
        for k in range(count):
            x = D[k]
            dx, dy, dz = a0 * x + b0 + c0, a1 * x + b1 + c1, a2 * x + b2 + c2
            slope = n0 * dx + n1 * dy + n2 * dz
            z = away / slope if abs(slope) >= 1e-7 else 1.0 / F[k + _INVERSE]
            hx, hy, hz = cx + z * dx, cy + z * dy, cz + z * dz
            side = -1.0 if slope > 0.0 else 1.0
            # texels a pixel = density z^2 |d| / (fx fy |slope|); half its log2: between the levels of both axes
            D[k + _SPREAD] = z * z * math.sqrt(x * x + y * y + 1.0) / max(abs(slope), 0.02)
            F[k] = z
            F[k + _U] = u0 * hx + u1 * hy + u2 * hz + u3
            F[k + _V] = v0 * hx + v1 * hy + v2 * hz + v3
            F[k + _X] = (hx + side * o0 - low0) * per_cell
            F[k + _Y] = (hy + side * o1 - low1) * per_cell
            F[k + _Z] = (hz + side * o2 - low2) * per_cell
            F[k + _DENSITY] = texels_here
            W[k + _SIDE] = 3 if slope > 0.0 else 0
            W[k + _LOG_WIDTH] = log_width
            W[k + _LOG_HEIGHT] = log_height


@njit(cache=True, nogil=True, error_model="numpy")
def _mip_levels(n, last, wide, single, whole):
    """The finer of the two mip levels around each pixel's area in texels, and its weight in sixteenths."""
    bits = wide.view(np.int64)
    for k in range(n):  # spread = m 2^e with m in [0.75, 1.5)
        exponent = (bits[k + _SPREAD] - _LEAST_MANTISSA) >> 52
        bits[k + _SPREAD] -= exponent << 52
        whole[k] = exponent
    for k in range(n):
        m = wide[k + _SPREAD]
        q = (m - 1.0) / (m + 1.0)
        p = q * q
        series = _LOG[4] + p * (_LOG[5] + p * (_LOG[6] + p * _LOG[7]))
        series = _LOG[0] + p * (_LOG[1] + p * (_LOG[2] + p * (_LOG[3] + p * series)))
        lod = np.float32(0.5) * (single[k + _DENSITY] + np.float32(whole[k] + q * series))
        lod = max(lod, np.float32(0.0))
        level = min(np.int32(lod), np.int32(last))
        whole[k] = level
        whole[k + _WEIGHT] = np.int32(16) - min(np.int32((lod - np.float32(level)) * np.float32(16.0)), np.int32(16))


@njit(cache=True, nogil=True, error_model="numpy")
def _texels(n, coarser, single, whole, out):
    """The four texels of a level around each pixel's texture coordinates, and their weights in sixteenths."""
    for k in range(n):
        level = whole[k] + coarser
        log_width, log_height = max(whole[k + _LOG_WIDTH] - level, 0), max(whole[k + _LOG_HEIGHT] - level, 0)
        width, height = np.int32(1) << log_width, np.int32(1) << log_height
        x = single[k + _U] * np.float32(width) - np.float32(0.5)
        y = single[k + _V] * np.float32(height) - np.float32(0.5)
        x_floor, y_floor = np.float32(np.floor(x)), np.float32(np.floor(y))
        left, top = np.int32(x_floor) & (width - 1), np.int32(y_floor) & (height - 1)
        out[k + _LEFT], out[k + _RIGHT] = left, (left + 1) & (width - 1)
        out[k + _TOP], out[k + _BOTTOM] = top << log_width, ((top + 1) & (height - 1)) << log_width
        out[k + _TO_RIGHT] = np.int32((x - x_floor) * np.float32(16.0))
        out[k + _TO_BOTTOM] = np.int32((y - y_floor) * np.float32(16.0))


@njit(cache=True, nogil=True)
def _spaced(texel):
    """0x00BBGGRR as sixteen bits a channel: red, blue, green."""
    texel = np.int64(texel)
    return (texel & 0xFF00FF) | (texel & 0xFF00) << 24


@njit(cache=True, nogil=True)
def _bilinear(k, offset, places, texels):
    """A pixel's colour in one level, each channel times 256, spaced as :func:`_spaced`."""
    top, bottom = offset + places[k + _TOP], offset + places[k + _BOTTOM]
    left, right = places[k + _LEFT], places[k + _RIGHT]
    a, b = _spaced(texels[np.uint64(top + left)]), _spaced(texels[np.uint64(top + right)])
    c, d = _spaced(texels[np.uint64(bottom + left)]), _spaced(texels[np.uint64(bottom + right)])
    x, y = np.int64(places[k + _TO_RIGHT]), np.int64(places[k + _TO_BOTTOM])
    return a * ((16 - x) * (16 - y)) + b * (x * (16 - y)) + c * ((16 - x) * y) + d * (x * y)


@njit(cache=True, nogil=True)
def _light_at(light, x, y, z):
    """The light grid between its cells at a position in cells."""
    x = min(max(x, np.float32(0.0)), np.float32(light.shape[0] - 1.001))
    y = min(max(y, np.float32(0.0)), np.float32(light.shape[1] - 1.001))
    z = min(max(z, np.float32(0.0)), np.float32(light.shape[2] - 1.001))
    i, j, k = np.uint64(x), np.uint64(y), np.uint64(z)
    x, y, z = x - np.float32(i), y - np.float32(j), z - np.float32(k)
    one = np.uint64(1)
    a = light[i, j, k] + (light[i, j, k + one] - light[i, j, k]) * z
    b = light[i, j + one, k] + (light[i, j + one, k + one] - light[i, j + one, k]) * z
    c = light[i + one, j, k] + (light[i + one, j, k + one] - light[i + one, j, k]) * z
    d = light[i + one, j + one, k] + (light[i + one, j + one, k + one] - light[i + one, j + one, k]) * z
    a, c = a + (b - a) * y, c + (d - c) * y
    return a + (c - a) * x


@njit(cache=True, nogil=True)
def _color(faces, single, whole, instance, texture, levels, texels, shades, light, background, color, instances):
    """Reads the texels and the light; writes colour and instance ids of one row."""
    fine, coarse = whole[_TEXELS:], whole[_TEXELS + _LEVEL :]
    for k in range(len(faces)):
        if faces[k] < 0:
            instances[k] = 0
            for c in range(3):
                color[k, c] = background[c]
            continue
        f = np.uint64(faces[k])
        instances[k] = instance[f]
        t, level, weight = np.uint64(texture[f]), np.uint64(whole[k]), np.int64(whole[k + _WEIGHT])
        red = green = blue = np.int64(0)
        if weight > 0:
            mixed = _bilinear(k, levels[t, level, 0], fine, texels)
            red, green, blue = (mixed & 0xFFFF) * weight, (mixed >> 32) * weight, (mixed >> 16 & 0xFFFF) * weight
        if weight < 16:
            mixed = _bilinear(k, levels[t, level + np.uint64(1), 0], coarse, texels)
            weight = 16 - weight
            red += (mixed & 0xFFFF) * weight
            green += (mixed >> 32) * weight
            blue += (mixed >> 16 & 0xFFFF) * weight
        gain = np.float32(1.0 / 4096.0) * _light_at(light, single[k + _X], single[k + _Y], single[k + _Z])
        side = np.uint64(whole[k + _SIDE])
        color[k, 0] = np.uint8(min(np.float32(red) * gain * shades[f, side], np.float32(255.0)))
        color[k, 1] = np.uint8(min(np.float32(green) * gain * shades[f, side + np.uint64(1)], np.float32(255.0)))
        color[k, 2] = np.uint8(min(np.float32(blue) * gain * shades[f, side + np.uint64(2)], np.float32(255.0)))
