"""Follows a sentence with the library alone: no ROS, one loop, a simulated robot.

python examples/3_follow_a_goal.py [SECONDS]
"""

import sys

from apartment import enter, frame_of, names_of_instances

from embodied_nav import perception, reasoner
from embodied_nav.drivers import Agent
from embodied_nav.robot import RobotProfile

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0  # simulated
CAMERA_RATE, CONTROL_RATE = 5, 20  # Hz

# 1. A robot in an apartment that the agent has never seen, and what to look for.
simulator, episode = enter()
print(f'"{episode.instruction}", {simulator.privileged().geodesic():.1f} m away')

# 2. The agent: perception names things, the policy decides, the rest (memory, planner, guard) has defaults.
backend = perception.create("simulator")
backend.set_instances(names_of_instances(simulator))
agent = Agent(RobotProfile(), backend, reasoner.create("rules"))
agent.reset(episode.instruction)

# 3. The loop: see at 5 Hz, drive at 20 Hz, until the agent stops or time is over.
for tick in range(int(SECONDS * CAMERA_RATE)):
    observation = simulator.observe()
    T_map_base = simulator.privileged().T_map_odom() @ observation.T_odom_base  # a robot asks its SLAM
    frame = frame_of(simulator, observation)
    output = agent.observe(frame, T_map_base, observation.T_odom_base, observation.T_base_camera)
    if output.decision is not None:
        option = output.decision.options[output.decision.chosen]
        print(f"{tick / CAMERA_RATE:6.1f} s  {option.letter}: {option.text}")
    if agent.status != "running":
        break
    stamp, T_odom_base = observation.stamp, observation.T_odom_base
    for _ in range(CONTROL_RATE // CAMERA_RATE):
        velocity = agent.control(stamp, T_odom_base)
        step = simulator.step(velocity.linear, velocity.angular, 1.0 / CONTROL_RATE)
        stamp, T_odom_base = step.stamp, step.T_odom_base

# 4. How it went, by the simulator's truth.
arrived = simulator.privileged().goal_reached()
reason = "time is over" if agent.status == "running" else agent.reason
print(f"{agent.status}: {reason}; {'at' if arrived else 'not at'} the goal")
print(f"{len(agent.decisions)} decisions, {agent.keyframes} keyframes, {len(agent.memory)} voxels")
