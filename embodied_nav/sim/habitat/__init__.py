"""Habitat: its episode files, measures and protocols, over habitat-sim behind a socket or over our own rasteriser.

    world       what a world of Habitat can do: load, place, act, move, observe, distances
    wire        messages between client and server
    remote      a world that is habitat-sim, in a process of its own (habitat/server.py)
    navmesh     walkable surfaces of a triangle mesh, distances and steps on them
    meshes      a world that is a mesh file, drawn by our own rasteriser
    protocols   how an evaluation is done: radius, actions, camera, steps
    datasets    episode files of ObjectNav, R2R-CE and RxR-CE
    measures    SR, SPL, SoftSPL, OSR, nDTW, sDTW as Habitat computes them
    simulator   the package's Simulator on any of the worlds

Knows nothing of ROS and of agents.
"""
