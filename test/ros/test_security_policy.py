"""config/security/embodied_nav.policy.xml names exactly what our nodes publish, subscribe, serve and call.

The wheels' Fast DDS is built without security: the policy cannot be enforced here, it is compared with the graph.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from embodied_nav.bringup.agent_graph import AgentOptions, agent_processes
from embodied_nav.bringup.composition import TOGETHER
from embodied_nav.bringup.processes import Process, command_of, enclave_of
from embodied_nav.resources import share_path

POLICY = Path(share_path("config/security/embodied_nav.policy.xml"))
NODES = ("keyframe", "perception", "memory", "slam", "reasoner", "control")
#: (what is named, how it is used) in a policy -> how rclpy's graph calls it.
USES = {
    ("topics", "publish"): "publish", ("topics", "subscribe"): "subscribe",
    ("services", "reply"): "reply", ("services", "request"): "request",
    ("actions", "execute"): "execute", ("actions", "call"): "call",
}  # fmt: skip
#: Named although no graph of the test has it: an encoder of image features needs torch and a model.
BEYOND = {"perception": {("publish", "/keyframe_features")}}
#: Where the camera's pictures are taken from with other settings, and optional inputs.
OPTIONS = {
    "/**": {"camera": {"color_transport": "compressed", "depth_transport": "compressedDepth"}},
    "/**/memory": {"scan": True},
    "/**/control": {"scan": True},
}


def profiles() -> dict[str, dict[str, set[tuple[str, str]]]]:
    """Enclave -> node -> {(use, full name)}; all permissions allow."""
    found: dict[str, dict[str, set[tuple[str, str]]]] = {}
    for enclave in ElementTree.parse(POLICY).getroot().iter("enclave"):
        of_nodes = found[enclave.get("path")] = {}
        for profile in enclave.iter("profile"):
            assert profile.get("ns") == "/"
            names = of_nodes[profile.get("node")] = set()
            for group in profile:
                assert group.attrib and set(group.attrib.values()) == {"ALLOW"}
                for use in group.attrib:
                    names |= {(USES[group.tag, use], full_name(e.text, profile.get("node"))) for e in group}
    return found


def full_name(name: str, node: str) -> str:
    """A name of the policy in the namespace /."""
    return name if name.startswith("/") else f"/{node}{name[1:]}" if name.startswith("~") else f"/{name}"


def names_in_graph(node, name: str) -> set[tuple[str, str]]:
    """{(use, full name)} of a node that runs; an action's topics and services are the action."""
    ways = {
        "publish": node.get_publisher_names_and_types_by_node,
        "subscribe": node.get_subscriber_names_and_types_by_node,
        "reply": node.get_service_names_and_types_by_node,
        "request": node.get_client_names_and_types_by_node,
    }
    found = {(use, topic) for use, ask in ways.items() for topic, _ in ask(name, "/")}
    actions = {(use, topic) for use, topic in found if "/_action/" in topic}
    executed = {("execute", topic.partition("/_action/")[0]) for use, topic in actions if use in ("reply", "publish")}
    called = {("call", topic.partition("/_action/")[0]) for use, topic in actions if use in ("request", "subscribe")}
    return (found - actions) | executed | called


# --- the file ---


def test_every_process_has_an_enclave_and_the_operator_has_one():
    found = profiles()
    assert set(found) == {f"/embodied_nav/{name}" for name in (*NODES, "composed", "operator")}
    for name in NODES:
        assert set(found[f"/embodied_nav/{name}"]) == {name}
    composed = found["/embodied_nav/composed"]
    assert {n for n in composed if not n.startswith("_")} == set(TOGETHER)
    for name in TOGETHER:
        assert composed[name] == found[f"/embodied_nav/{name}"][name]


def test_what_commands_the_robot_is_in_few_hands():
    who = defaultdict(set)
    for enclave, of_nodes in profiles().items():
        for names in of_nodes.values():
            for use in names:
                who[use].add(enclave.rpartition("/")[2])
    assert who["publish", "/cmd_vel"] == {"control"}
    assert who["publish", "/plan"] == {"reasoner"}
    assert who["call", "/navigate"] == {"operator"}
    assert not who["publish", "/e_stop"], "whoever has the button needs an enclave of his own"


def test_policy_is_of_the_form_that_sros2_reads():
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    assert [child.tag for child in root] == ["enclaves"]
    for group in root.iter():
        names = [e.text for e in group if e.tag in ("topic", "service", "action")]
        assert names == sorted(set(names)), "sorted, each once"


def test_processes_are_started_in_their_enclaves():
    secure = {"ROS_SECURITY_ENABLE": "true"}
    control = Process("control", "control", namespace="/robot1/")
    assert enclave_of(Process("control", "control"), secure) == ["--enclave", "/embodied_nav/control"]
    assert enclave_of(control, secure) == ["--enclave", "/robot1/embodied_nav/control"]
    assert enclave_of(control, {}) == [] == enclave_of(control, {"ROS_SECURITY_ENABLE": "false"})
    assert enclave_of(control, secure | {"ROS_SECURITY_ENCLAVE_OVERRIDE": "/mine"}) == []
    command = command_of(control, secure)
    assert command.index("--ros-args") < command.index("--enclave")
    assert "--enclave" not in command_of(control, {})


# --- the graph ---


def running(folder: Path, options: dict, sim_time: bool) -> list[Process]:
    """The agent's processes, each node alone, with our SLAM."""
    file = folder / "options.yaml"
    file.write_text(yaml.safe_dump({name: {"ros__parameters": values} for name, values in options.items()}))
    files = (*(str(share_path(f"config/{name}.yaml")) for name in ("robot", "agent")), str(file))
    return agent_processes(AgentOptions(files, slam="own", use_sim_time=sim_time))


@pytest.mark.ros
def test_policy_names_exactly_what_the_nodes_use(tmp_path):
    pytest.importorskip("gtsam", reason="our SLAM needs GTSAM (make setup)")
    from running_graph import Graph

    wanted = {name: profiles()[f"/embodied_nav/{name}"][name] - BEYOND.get(name, set()) for name in NODES}
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for options, sim_time in (({}, False), (OPTIONS, True)):
        with Graph(running(tmp_path, options, sim_time)) as graph:
            graph.until(lambda graph=graph: all_there(graph.node), 240.0)
            graph.spin(3.0)
            for name in NODES:
                found[name] |= names_in_graph(graph.node, name)
    for name in NODES:
        assert not found[name] - wanted[name], f"{name} uses what the policy does not allow"
        assert not wanted[name] - found[name], f"the policy allows {name} what it does not use"


def all_there(node) -> bool:
    """Whether every node has made its last publishers and subscriptions: it is active once it can be talked to."""
    last = {
        "keyframe": ("publish", "/keyframes"), "perception": ("subscribe", "/keyframes"),
        "memory": ("reply", "/ask"), "slam": ("subscribe", "/initialpose"), "reasoner": ("execute", "/navigate"),
        "control": ("subscribe", "/plan"),
    }  # fmt: skip
    there = {name for name, _ in node.get_node_names_and_namespaces()}
    return set(last) <= there and all(use in names_in_graph(node, name) for name, use in last.items())


@pytest.mark.ros
def test_the_operator_may_look_at_what_the_doctor_examines():
    pytest.importorskip("rclpy")
    from embodied_nav.nodes.doctor import COMPRESSED, INPUTS, OUTPUTS

    topics = {topic.name for topic in (*INPUTS, *OUTPUTS)} | {name for name, _ in COMPRESSED.values()}
    wanted = {("subscribe", "/" + name.lstrip("/")) for name in topics | {"/diagnostics"}}
    looked_at = profiles()["/embodied_nav/operator"]["embodied_nav_doctor"]
    assert {use for use in looked_at if use[0] != "publish"} == wanted


@pytest.mark.ros
def test_with_security_wanted_a_node_says_what_the_wheels_lack(tmp_path):
    """Where Fast DDS has security this node would start: then the policy can be tried in earnest (docs/security.md)."""
    enclave = tmp_path / "enclaves" / "embodied_nav" / "control"
    enclave.mkdir(parents=True)
    for name in ("identity_ca.cert.pem", "cert.pem", "key.pem", "permissions_ca.cert.pem", "governance.p7s",
                 "permissions.p7s"):  # fmt: skip
        (enclave / name).write_text("none")
    environment = {
        **os.environ, "ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path),
    }  # fmt: skip
    command = command_of(Process("control", "control"), environment)
    assert command[-2:] == ["--enclave", "/embodied_nav/control"] and command[0] == sys.executable
    begun = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0 and time.monotonic() - begun < 120
    assert "security" in (done.stdout + done.stderr).lower()
