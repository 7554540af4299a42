"""``embodied-nav train``: trains a shipped network in the simulator. Knows no network; imports torch only to train."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from ..config import read_yaml
from ..errors import InputError
from ..resources import how_to_install, share_path

#: What can be trained, with a line of description.
METHODS = {
    "perception": "the network of perception 'compact': names what an RGB-D camera sees",
    "reasoner": "the language model of reasoner 'compact', or an adapter for 'causal_lm' where the settings say "
    "policy: causal_lm (config/train_causal_lm.yaml)",
}


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds ``train``."""
    methods = "; ".join(f"{name}: {text}" for name, text in METHODS.items())
    parser = subparsers.add_parser(
        "train",
        help="train a shipped network anew in the simulator",
        description=f"Trains a network and exports its weights. {methods}. The folder gets checkpoints, metrics.jsonl, "
        "curves.png and the exported weights.",
    )
    parser.add_argument("method", choices=METHODS, metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--config", metavar="F", help="YAML settings (default: those of the shipped weights)")
    parser.add_argument("--out", metavar="DIR", help="folder (default: runs/train-METHOD)")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    """Trains and exports."""
    values = read_yaml(args.config or share_path(f"config/train_{args.method}.yaml"))
    _need("torch", "safetensors", "onnx")
    train = {"perception": _perception, "reasoner": _reasoner}[args.method]
    return train(values, Path(args.out or f"runs/train-{args.method}"), args.resume, args.config or "")


def _need(*libraries: str) -> None:
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise InputError(f"train needs {library}; {how_to_install('train', library)}")


def _sections(values: dict, known: tuple[str, ...], file: str) -> None:
    unknown = set(values) - set(known)
    if unknown:
        raise InputError(f"{file}: unknown section '{min(unknown)}'; known: {', '.join(known)}")


def _say(line: str) -> None:
    print(line, flush=True)


def _reasoner(values: dict, folder: Path, resume: bool, file: str) -> int:
    policy = values.pop("policy", "compact")
    if policy == "causal_lm":
        return _causal_lm(values, folder, resume, file)
    if policy != "compact":
        raise InputError(f"{file}: policy '{policy}' cannot be trained; give compact or causal_lm")
    from ..models.small_lm import SmallLMConfig
    from ..training.checkpoints import device_of
    from ..training.reasoner.learn import ReasonerTraining
    from ..training.reasoner.pipeline import ReadersConfig, StatesConfig
    from ..training.reasoner.pipeline import run as train

    _sections(values, ("states", "readers", "training", "network"), file)
    states = StatesConfig.from_mapping(values.get("states") or {}, f"{file}: states")
    readers = ReadersConfig.from_mapping(values.get("readers") or {}, f"{file}: readers")
    training = ReasonerTraining.from_mapping(values.get("training") or {}, f"{file}: training")
    network = SmallLMConfig.from_mapping(values.get("network") or {}, f"{file}: network")
    device_of(training.device)  # before minutes of collecting
    graph = train(folder, states, readers, training, network, resume=resume, say=_say)
    print(f"exported to {graph}; to try it: --agent compact --set small_lm.weights={graph}")
    return 0


def _causal_lm(values: dict, folder: Path, resume: bool, file: str) -> int:
    _need("transformers", "trl", "peft")
    from ..reasoner.causal_lm import CausalLMConfig, CausalLMPolicy
    from ..training.reasoner.causal_grpo import CausalTraining, first_process, train
    from ..training.reasoner.pipeline import StatesConfig, gather

    _sections(values, ("states", "model", "training"), file)
    states = StatesConfig.from_mapping(values.get("states") or {}, f"{file}: states")
    training = CausalTraining.from_mapping(values.get("training") or {}, f"{file}: training")
    model = CausalLMConfig.from_mapping(values.get("model") or {}, f"{file}: model")
    CausalLMPolicy.check(model)
    with first_process():
        problems = gather(folder, states, _say)
    adapter = train(folder, training, model, problems, resume=resume)
    start = folder / "start"  # the adapter fits what training began with, which may have had another one merged in
    print(f"to try it: --agent causal_lm --set causal_lm.model={start} --set causal_lm.adapter={adapter}")
    return 0


def _perception(values: dict, folder: Path, resume: bool, file: str) -> int:
    from ..models.compact import CompactConfig
    from ..training.perception.calibrate import spacing, unknown_from
    from ..training.perception.export import export, load_network
    from ..training.perception.train import PerceptionTraining, held_out_views, train
    from ..training.perception.views import NAMES, ViewConfig

    _sections(values, ("training", "views", "network"), file)
    training = PerceptionTraining.from_mapping(values.get("training") or {}, where=f"{file}: training")
    views = ViewConfig.from_mapping({"seed": training.seed} | (values.get("views") or {}), where=f"{file}: views")
    network = CompactConfig.from_mapping({"categories": NAMES} | (values.get("network") or {}), f"{file}: network")
    trained = train(folder, training, views, network, resume=resume, say=_say)
    print("calibrating", flush=True)
    limit = unknown_from(load_network(trained), held_out_views(training, views, network)["as made"])
    apart = spacing(views.first_scene, min(views.scenes, 200))
    weights, graph = export(trained, folder / "export", limit, apart)
    print(f"exported to {weights} and {graph}; to try them: --perception compact --set compact.weights={graph}")
    return 0
