"""Registries of perception back ends, reasoner policies and simulators by name. Imports none of them.

To add a plug-in, add an entry here: the nodes, the agent, ``--perception`` and ``--agent`` with their help, the launch
arguments and docs/parameters.md then include it. The layers expose these registries as ``perception.BACKENDS``,
``reasoner.POLICIES``, ``sim.SIMULATORS`` and ``drivers.DRIVERS`` (each policy is a driver by itself).
"""

from __future__ import annotations

from typing import Any

from .registry import Entry, Registry

PERCEPTION: Registry[Any] = Registry(
    "perception",
    (
        Entry(
            "simulator",
            "what the embedded simulator knows, as instance ids; errs like a detector by its settings",
            "embodied_nav.perception.simulator:SimulatorPerception",
            "embodied_nav.perception.simulator:SimulatorPerceptionConfig",
            prefix="perception",
        ),
        Entry(
            "compact",
            "our own small network, shipped: the simulator's categories from colour and depth, on a CPU",
            "embodied_nav.perception.compact:CompactPerception",
            "embodied_nav.perception.compact:CompactPerceptionConfig",
        ),
        Entry(
            "detector",
            "any 2D detector, an ONNX file or a Hugging Face model: real categories on real images",
            "embodied_nav.perception.detector:DetectorPerception",
            "embodied_nav.perception.detector:DetectorConfig",
        ),
        Entry(
            "geometric",
            "things that stand out by depth, with size, place and colour but no category; needs no model",
            "embodied_nav.perception.geometric:GeometricPerception",
            "embodied_nav.perception.backend:PerceptionConfig",
            prefix="perception",
        ),
        Entry(
            "server",
            "a vision-language model behind any OpenAI-compatible server (vLLM, llama.cpp, Ollama, a cloud)",
            "embodied_nav.perception.server:ServerPerception",
            "embodied_nav.perception.chat_server:ServerConfig",
            slow=True,
        ),
        Entry(
            "vlm",
            "a vision-language model in the node itself: Qwen2.5-VL, Qwen3-VL or SmolVLM by folder or id",
            "embodied_nav.perception.vlm:VlmPerception",
            "embodied_nav.perception.local_vlm:VlmConfig",
            large=True,
            slow=True,
        ),
    ),
)

#: What makes image features for the memory, beside any back end; made from its settings.
ENCODERS: Registry[Any] = Registry(
    "encoder",
    (
        Entry(
            "clip",
            "CLIP, SigLIP or SigLIP2: image features that are searched in words",
            "embodied_nav.perception.encoders.clip:ClipEncoder",
            "embodied_nav.perception.encoders.loading:EncoderConfig",
            prefix="encoder",
            large=True,
        ),
        Entry(
            "dino",
            "DINOv2 or DINOv3: image features that tell things apart, searched by example",
            "embodied_nav.perception.encoders.dino:DinoEncoder",
            "embodied_nav.perception.encoders.loading:EncoderConfig",
            prefix="encoder",
            large=True,
        ),
        Entry(
            "vggt",
            "VGGT from a folder with its code: features of a geometry network",
            "embodied_nav.perception.encoders.vggt:VggtEncoder",
            "embodied_nav.perception.encoders.vggt:VggtConfig",
            large=True,
        ),
    ),
)

REASONERS: Registry[Any] = Registry(
    "reasoner",
    (
        Entry(
            "rules",
            "goes to the target once known, else where it is most likely per metre",
            "embodied_nav.reasoner.policies:RulesPolicy",
            "embodied_nav.reasoner.worth:RulesConfig",
        ),
        Entry(
            "frontier",
            "the nearest frontier until the target is seen",
            "embodied_nav.reasoner.policies:FrontierPolicy",
        ),
        Entry(
            "random",
            "any option by chance",
            "embodied_nav.reasoner.policies:RandomPolicy",
            "embodied_nav.reasoner.policies:RandomConfig",
        ),
        Entry(
            "compact",
            "our own small language model, which reasons in a few words; train it by embodied-nav train reasoner",
            "embodied_nav.reasoner.compact:CompactPolicy",
            "embodied_nav.reasoner.compact:CompactPolicyConfig",
            prefix="small_lm",
        ),
        Entry(
            "causal_lm",
            "any causal language model, by folder, id or GGUF file, with a LoRA adapter, or behind a server",
            "embodied_nav.reasoner.causal_lm:CausalLMPolicy",
            "embodied_nav.reasoner.causal_lm:CausalLMConfig",
            slow=True,
        ),
    ),
)

#: Drivers that are not the agent with a policy; one with a policy's name takes its place. Each is made from (robot,
#: name of the perception back end, parameters by dotted name), then its settings where it has any.
OTHER_DRIVERS: Registry[Any] = Registry(
    "driver",
    (
        Entry(
            "random",
            "walks and turns by chance, without looking",
            "embodied_nav.drivers.random_walk:RandomWalk",
        ),
    ),
)

#: What only ``eval`` can run: it gets the ground truth.
REFERENCES: Registry[Any] = Registry(
    "driver",
    (
        Entry(
            "oracle",
            "follows the shortest path, which only the simulator knows",
            "embodied_nav.evaluation.oracle:Oracle",
        ),
    ),
)

SIMULATORS: Registry[Any] = Registry(
    "simulator",
    (
        Entry(
            "embedded",
            "textured triangle scenes rendered in the process; apartments by seed, .glb and .ply files",
            "embodied_nav.sim.embedded:EmbeddedSimulator",
            "embodied_nav.sim.embedded:SimulatorConfig",
            prefix="simulator",
        ),
        Entry(
            "habitat",
            "Habitat's data sets in habitat-sim, which runs behind habitat/server.py",
            "embodied_nav.sim.habitat.simulator:HabitatSimulator",
            "embodied_nav.sim.habitat.simulator:HabitatConfig",
        ),
    ),
)
