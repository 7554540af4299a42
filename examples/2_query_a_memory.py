"""Asks a memory: by words, by place, and in a sentence.

    python examples/2_query_a_memory.py [MEMORY_FILE]

Without a file it remembers a look around in a simulated apartment.
"""

import sys

import numpy as np
from apartment import enter, look_around, names_of_instances

from embodied_nav import perception
from embodied_nav.keyframes import KeyframeGate
from embodied_nav.memory import SpatialMemory
from embodied_nav.memory.query.answering import Query
from embodied_nav.memory.query.replies import answer_in_words


def remembered() -> SpatialMemory:
    """A memory with objects: what the perception back end says of each keyframe goes in beside the frames."""
    simulator, _ = enter()
    backend = perception.create("simulator")
    backend.set_instances(names_of_instances(simulator))
    memory, gate, previous = SpatialMemory(), KeyframeGate(), None
    for frame in look_around(simulator):
        memory.integrate(frame)
        keyframe = gate.process(frame)
        if keyframe is not None:
            memory.add_keyframe(keyframe)
            memory.add_delta(backend.perceive(previous, keyframe, instruction=""))
            previous = keyframe
    return memory


# 1. A memory, from its file or made here.
memory = SpatialMemory.load(sys.argv[1]) if len(sys.argv) > 1 else remembered()

# 2. Every object that it holds, with place and size in metres.
objects = memory.objects()
for thing in objects:
    x, y, z = thing.position
    print(f"{thing.id:3d}  {thing.name:20s} at ({x:5.2f}, {y:5.2f}, {z:5.2f}) m, seen in {thing.confirmed} keyframes")
if not objects:
    sys.exit("it holds no objects: nobody told it what the keyframes show")

# 3. Those that fit words, best first, with a score from 0 to 1.
wanted = objects[0].name
for thing, score in memory.query(wanted):
    print(f'"{wanted}": {thing.name} {thing.id}, score {score:.2f}')

# 4. The same with more to go by: nearest to a place, within a box, seen lately; and which keyframe shows it.
for answer in memory.ask(Query(text=objects[0].label, near=np.zeros(3), max_results=3)):
    print(f"near the start: {answer.object.name}, {answer.age:.1f} s ago, look at keyframe {answer.keyframe_id}")

# 5. In a sentence; what it does not understand it says so.
for question in (f"where is the {wanted}?", "how many things are there?", "what is the time?"):
    print(f"{question} {answer_in_words(question, memory.knowledge()).text}")
