"""train.precision: what is computed in bf16 and what stays fp32, on this processor and, by the arguments, on a GPU."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.params import Params
from movie_ratings.training import fine_tune, frozen, precision, preflight, pretrained, trainer
from movie_ratings.training.callbacks import SaveEvery
from movie_ratings.training.precision import Arithmetic, Device, Products
from tests.support import architectures
from tests.support.checkpoints import rows, run, serve, splits

Build = Callable[..., Params]
Types = dict[str, set[torch.dtype]]

PROCESSOR, PROCESSOR_WITH_BF16 = Device(gpu=False, bf16=False), Device(gpu=False, bf16=True)
GPU, OLD_GPU = Device(gpu=True, bf16=True), Device(gpu=True, bf16=False)
FP32, BF16 = {torch.float32}, {torch.bfloat16}
# Without a frozen layer, and with one, whose output is computed before the Trainer's steps.
DEPTHS = pytest.mark.parametrize("freeze_layers", [0, 1])


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Iterator[Types]:
    """The types of number that trainings of this test compute in, by what computes them.

    ``trial``, ``features``, ``training`` and ``evaluation`` are products of linear layers; ``served`` are those of all
    other passes, which try the export, calibrate and compare with ONNX.
    """
    found: Types = defaultdict(set)
    phase = ["served"]

    def watch(owner: Any, name: str, during: str) -> None:
        original = getattr(owner, name)

        def watched(*arguments: Any, **keywords: Any) -> Any:
            phase.append(during)
            try:
                return original(*arguments, **keywords)
            finally:
                phase.pop()

        monkeypatch.setattr(owner, name, watched)

    watch(preflight, "check_precision", "trial")
    watch(frozen, "compute_features", "features")
    watch(trainer.SharedBatches, "training_step", "training")
    watch(trainer.SharedBatches, "evaluate", "evaluation")

    def product(module: torch.nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, torch.nn.Linear):
            found[phase[-1]].add(output.dtype)

    def before_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            found["parameters"] |= {parameter.dtype for parameter in group["params"]}
            found["gradients"] |= {each.grad.dtype for each in group["params"] if each.grad is not None}

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        values = [value for state in optimizer.state.values() for value in state.values()]
        found["optimizer"] |= {value.dtype for value in values if isinstance(value, torch.Tensor)}

    hooks = [
        register_module_forward_hook(product),
        register_optimizer_step_pre_hook(before_step),
        register_optimizer_step_post_hook(after_step),
    ]
    yield found
    for hook in hooks:
        hook.remove()


def losses(folder: Path) -> list[float]:
    lines = (folder / "curves" / "train_loss.tsv").read_text().splitlines()[1:]
    return [float(line.split("\t")[1]) for line in lines]


@pytest.mark.slow
@DEPTHS
def test_bf16_multiplies_in_bf16_and_keeps_everything_else_in_fp32(
    options: Build, tmp_path: Path, freeze_layers: int, types: Types, capfd: pytest.CaptureFixture[str]
) -> None:
    chosen = options(
        train__precision="bf16", train__freeze_layers=freeze_layers, train__epochs=4, train__soft_labels=0.0
    )
    run(chosen, tmp_path, 64)
    products = dict.fromkeys(["trial", "training", "evaluation", *(["features"] if freeze_layers else [])], BF16)
    # Calibration, decision and interval are fitted on what is served.
    assert types == products | dict.fromkeys(["served", "parameters", "gradients", "optimizer"], FP32)
    found = losses(tmp_path)
    assert np.isfinite(found).all()
    assert np.mean(found[-4:]) < 0.8 * np.mean(found[:4])
    weights = load_file(tmp_path / "checkpoint" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == FP32
    assert json.loads((tmp_path / "checkpoint" / "config.json").read_text())["dtype"] == "float32"
    serve(tmp_path / "checkpoint")  # fails where ONNX and torch differ by more than 0.001
    expected = precision.choose("bf16", precision.device()).remark
    warnings = [line for line in capfd.readouterr().err.splitlines() if "train.precision" in line]
    assert warnings == ([expected] if expected else [])


@pytest.mark.slow
@DEPTHS
def test_auto_on_a_processor_gives_the_bytes_of_fp32(
    options: Build, tmp_path: Path, freeze_layers: int, types: Types, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = []
    for name in ("auto", "fp32"):
        run(options(train__precision=name, train__freeze_layers=freeze_layers), tmp_path / name)
        hashes = {path.name: storage.sha256(path) for path in (tmp_path / name / "checkpoint").iterdir()}
        metadata = json.loads((tmp_path / name / "checkpoint" / "movie_ratings.json").read_text())
        assert metadata["origin"]["train"].pop("precision") == name
        found.append(hashes | {"movie_ratings.json": metadata})
    assert found[0] == found[1]
    assert "model.safetensors" in found[0]
    assert set.union(*types.values()) == FP32


class KilledError(Exception):
    pass


def interrupt(options: Params, folder: Path) -> None:
    """A training that ends when its second epoch begins, after the save of the first."""

    def second_epoch(_: SaveEvery, __: Any, state: Any, *___: Any, **____: Any) -> None:
        if state.epoch >= 1:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(SaveEvery, "on_epoch_begin", second_epoch)
        run(options, folder)


@pytest.mark.slow
def test_an_interrupted_training_continues_in_its_precision_alone(
    options: Build, tmp_path: Path, types: Types, capsys: pytest.CaptureFixture[str]
) -> None:
    in_bf16, in_fp32 = (
        options(train__precision=name, train__freeze_layers=1, train__epochs=2) for name in ("bf16", "fp32")
    )
    interrupt(in_bf16, tmp_path)
    for chosen, continued, expected in ((in_fp32, False, FP32), (in_bf16, True, BF16)):
        types.clear()
        capsys.readouterr()
        run(chosen, tmp_path)
        assert ("continuing from step 4 " in capsys.readouterr().err) == continued
        assert types["training"] == expected
        assert types["served"] == FP32


def test_what_auto_means_is_a_part_of_the_key_of_an_interrupted_training(options: Build, tmp_path: Path) -> None:
    data, model = splits(rows(8), rows(4, 100)), pretrained.load_model(options().model.name, 0)

    def key(wanted: str, device: Device) -> str:
        chosen = options(train__precision=wanted)
        return fine_tune._key(data, chosen, precision.choose(chosen.train.precision, device), model)

    assert key("auto", PROCESSOR) == key("auto", PROCESSOR_WITH_BF16) == key("fp32", GPU)
    assert key("auto", GPU) == key("bf16", PROCESSOR)
    assert len({key("auto", PROCESSOR), key("auto", GPU), key("auto", OLD_GPU)}) == 3


@pytest.mark.parametrize(
    ("wanted", "device", "products", "warns"),
    [
        ("auto", PROCESSOR, "fp32", False),
        ("auto", PROCESSOR_WITH_BF16, "fp32", False),  # the same bytes as on a processor without
        ("auto", GPU, "bf16", False),
        ("auto", OLD_GPU, "fp16", False),
        ("bf16", PROCESSOR, "bf16", True),
        ("bf16", PROCESSOR_WITH_BF16, "bf16", False),
        ("bf16", GPU, "bf16", False),
        ("fp32", PROCESSOR_WITH_BF16, "fp32", False),
        ("fp32", GPU, "fp32", False),
    ],
)
def test_each_device_computes_in_what_the_parameter_says(
    options: Build, tmp_path: Path, wanted: str, device: Device, products: Products, warns: bool
) -> None:
    chosen = options(train__precision=wanted).train
    arithmetic = precision.choose(chosen.precision, device)
    assert arithmetic == Arithmetic(products, device)
    assert bool(arithmetic.remark) == warns
    assert "\n" not in (arithmetic.remark or "")
    found = trainer.arguments(chosen, 100, tmp_path, arithmetic)
    assert (found["bf16"], found["fp16"]) == (products == "bf16", products == "fp16")
    # The Trainer takes the GPU unless use_cpu; it refuses bf16 on a processor without use_cpu.
    assert found["use_cpu"] == (not device.gpu and products == "bf16")
    assert found["dataloader_pin_memory"] == device.gpu


def test_bf16_on_a_gpu_without_it_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^train\.precision: this GPU has no bf16; set it to auto, .* or to fp32$"):
        precision.choose("bf16", OLD_GPU)


@pytest.mark.slow
def test_a_model_that_cannot_be_computed_in_bf16_is_refused_before_the_training(
    options: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "train", lambda *_: pytest.fail("the training has started"))
    folder = architectures.build(tmp_path / "pretrained", "deberta")
    complaint = r"^train\.precision: DebertaFor\w+ cannot be computed in bf16 \(.*\); set it to fp32$"
    with pytest.raises(UserError, match=complaint):
        run(options(model__name=str(folder), train__precision="bf16", text__max_length=24), tmp_path, 16)
