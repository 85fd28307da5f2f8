"""What may be configured: typed schemas of every group, with their defaults."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from experiments.tracking import TrackingConfig
from influence.matrix import SELF_GAIN

REPOSITORY = Path(__file__).resolve().parent.parent

TINY_RANDOM = "tiny_random"
"""Source of a language model with random weights, which says nothing about language."""


class ImageSetName(Enum):
    """Image sets that the suite can read."""

    mnist = "mnist"
    fashion_mnist = "fashion_mnist"
    digits = "digits"
    digits_rotated = "digits_rotated"


class Split(Enum):
    """Part of an image set."""

    train = "train"
    test = "test"


class Activation(Enum):
    """See `influence.models.cnn.ACTIVATIONS`."""

    relu = "relu"
    tanh = "tanh"


class Pooling(Enum):
    """See `influence.models.cnn.POOLINGS`."""

    max = "max"
    mean = "mean"


class Style(Enum):
    """How names are spelled: see `influence.data.words.draw_names`."""

    paper = "paper"
    matched = "matched"


class TextNoise(Enum):
    """See `influence.data.text_noise.NOISES`."""

    typos = "typos"
    filler = "filler"
    case = "case"
    hedge = "hedge"


class Dtype(Enum):
    """Precision of a language model's weights: see `influence.models.sources.load`."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Device(Enum):
    """Where tensors live; `auto` is CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(kw_only=True)
class SelectionConfig:
    """Which images of a set: see `influence.data.selection.Selection`."""

    classes: list[int] | None = None
    per_class: int | None = 5
    indices: list[int] | None = None
    seed: int = 0
    sigmas: list[float] = field(default_factory=lambda: [0.0])
    draws: list[int] = field(default_factory=lambda: [0])
    clip: bool = False
    pure_noise: int = 0


@dataclass(kw_only=True)
class ImagesConfig:
    """A base model's training set, and probes and targets from a new domain with the same labels."""

    base: ImageSetName = MISSING
    domain: ImageSetName = MISSING
    split: Split = Split.test
    size: int = MISSING  # height and width of the images
    probes: SelectionConfig = field(default_factory=SelectionConfig)
    targets: SelectionConfig | None = None  # the probes
    embedding: int = 0  # coordinates of each image, see `influence.data.embedding`
    folder: str = str(REPOSITORY / "outputs" / "data")


@dataclass(kw_only=True)
class DomainConfig:
    """Worlds of a language domain: every item of each is a target, and a probe unless `probes` names some."""

    domain: str = MISSING  # name of a file of the folder, without .yaml
    worlds: int = 10
    style: Style = Style.paper
    seed: int = 0  # of the names
    probes: list[str] | None = None  # items that are learned; every one
    folder: str = str(REPOSITORY / "conf" / "domain")


@dataclass(kw_only=True)
class ChainsConfig(DomainConfig):
    """Crossed chains of a language domain: see `influence.data.chains.chains`."""

    worlds: int = 40
    style: Style = Style.matched
    length: int = 2
    broken: bool = False


@dataclass(kw_only=True)
class NounsConfig:
    """Sentences about nouns: see `influence.data.nouns.noun_worlds` and `influence.data.text_noise.with_noise`."""

    worlds: int = 40
    categories: int = 2
    per_category: int = 6
    frames: int = 2
    noises: list[TextNoise] = field(default_factory=list)
    draws: list[int] = field(default_factory=lambda: [0])
    seed: int = 0  # of the nouns and of the noise


@dataclass(kw_only=True)
class OwnConfig:
    """A class or function of one's own: its import path, on the allow-list, and its arguments."""

    _target_: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class OwnModelConfig(OwnConfig):
    """A model of one's own, with weights from a file, or trained here if it is a LightningModule."""

    name: str = "own"
    weights: str | None = None


@dataclass(kw_only=True)
class CNNConfig:
    """The small convolutional network: see `influence.models.cnn.CNN`."""

    name: str = "CNN"
    image_size: int = MISSING
    channels: list[int] = field(default_factory=lambda: [16, 32])
    hidden: int = 64
    activation: Activation = Activation.relu
    pooling: Pooling = Pooling.max
    lr: float = 5e-3
    weights: str | None = None  # train them


@dataclass(kw_only=True)
class CausalLMConfig:
    """A language model: see `influence.models.sources.load` and `influence.models.causal_lm.CausalLM`."""

    name: str = MISSING
    source: str = MISSING  # gemma3-270m, a folder, or a name on the hub
    revision: str | None = None
    dtype: Dtype = Dtype.float32
    lora: dict[str, Any] = field(default_factory=dict)  # settings of peft.LoraConfig; none learns all weights


@dataclass(kw_only=True)
class TrainerConfig:
    """Base training."""

    epochs: int = 4
    batch_size: int = 256
    seed: int = 0


@dataclass(kw_only=True)
class FineTuneConfig:
    """Learned influence: see `influence.estimators.finetune.FineTune`."""

    name: str = "finetune"
    optimizer: str = "sgd"
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    lr: float | None = None
    self_gain: float | None = None
    num_steps: int = 1
    statements: str = "together"
    parameters: list[str] | None = None
    train_mode: bool = False


@dataclass(kw_only=True)
class FirstOrderConfig:
    """First-order influence: see `influence.estimators.first_order.FirstOrder`."""

    name: str = "first_order"
    optimizer: str = "sgd"
    lr: float | None = None
    self_gain: float | None = None
    statements: str = "together"
    parameters: list[str] | None = None


@dataclass(kw_only=True)
class PromptConfig:
    """Prompted influence: see `influence.estimators.prompt.Prompt`."""

    name: str = "prompt"
    separator: str = "\n"
    order: str = "given"
    template: str = "{probe}"
    baseline: str = "empty"


@dataclass(kw_only=True)
class StepSizesAtConfig:
    """How much is learned, and in how many steps, unless the estimator says otherwise."""

    self_gain: float = SELF_GAIN  # median, nats
    num_steps: int = 1


@dataclass(kw_only=True)
class ReadoutConfig:
    """The number read on a target: a key of `influence.readout.READOUTS`."""

    name: str = "log_prob"


@dataclass(kw_only=True)
class EngineConfig:
    """How the numbers are computed; none of it changes them beyond rounding."""

    device: Device = Device.auto
    threads: int | None = None  # as many as there are cores
    batch_size: int = 320
    block_size: int = 32
    fast: bool = True  # many probes at once where the layers allow it; else the plain loop everywhere
    memory_gb: float = 2.0  # for what is held at a time, GiB, beside the model and its samples


@dataclass(kw_only=True)
class ShardConfig:
    """Which share of the blocks this process measures: each whose position leaves `index` when divided by `count`."""

    index: int = 0
    count: int = 1


@dataclass(kw_only=True)
class ObjectiveConfig:
    """The score whose value a run returns to a sweeper that searches, at one of its conditions: "sigma=1", or ""."""

    score: str | None = None
    condition: str = ""


@dataclass(kw_only=True)
class Config:
    """One run."""

    name: str = MISSING
    seed: int = 0
    data: Any = MISSING
    model: Any = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    estimator: Any = MISSING
    step_sizes: dict[str, float] = field(default_factory=dict)  # stored learning rates by optimizer
    step_sizes_at: StepSizesAtConfig = field(default_factory=StepSizesAtConfig)
    readout: ReadoutConfig = field(default_factory=ReadoutConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    shard: ShardConfig = field(default_factory=ShardConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    trust: list[str] = field(default_factory=list)
    outputs: str = str(REPOSITORY / "outputs")


SCHEMAS: dict[tuple[str, str], type] = {
    ("data", "images"): ImagesConfig,
    ("data", "domain"): DomainConfig,
    ("data", "chains"): ChainsConfig,
    ("data", "nouns"): NounsConfig,
    ("data", "own"): OwnConfig,
    ("model", "cnn"): CNNConfig,
    ("model", "causal_lm"): CausalLMConfig,
    ("model", "own"): OwnModelConfig,
    ("estimator", "finetune"): FineTuneConfig,
    ("estimator", "first_order"): FirstOrderConfig,
    ("estimator", "prompt"): PromptConfig,
}
"""Schema of each kind of a group; a file of conf/<group>/ names its kind in its defaults list."""


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for (group, kind), schema in SCHEMAS.items():
        store.store(group=f"schema/{group}", name=kind, node=schema)
