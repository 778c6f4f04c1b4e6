"""The type of number in which a training multiplies matrices: what train.precision means on this machine.

Autocast converts the inputs of the products alone. Weights, gradients and the state of the optimizer are float32 with
every choice.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from transformers import TrainingArguments

from movie_ratings.core import processor
from movie_ratings.core.errors import UserError
from movie_ratings.params import Precision

Products = Literal["fp32", "bf16", "fp16"]


class Device(NamedTuple):
    """What a training runs on: a GPU or the processor, and whether it has instructions for products in bf16."""

    gpu: bool
    bf16: bool


class Arithmetic(NamedTuple):
    """The type of the products, and the device that computes them."""

    products: Products
    device: Device

    @property
    def remark(self) -> str | None:
        """A warning for the user, or None."""
        if self.products == "bf16" and not self.device.bf16:
            return (
                "train: warning: train.precision is bf16, and no bf16 instructions of this processor were found: "
                "without them, torch emulates bf16, which is slower than fp32"
            )
        return None


def device() -> Device:
    """The device that this process trains on."""
    if torch.cuda.is_available():
        # A GPU that emulates bf16 counts as one without: fp16 is faster there.
        return Device(gpu=True, bf16=torch.cuda.is_bf16_supported(including_emulation=False))
    return Device(gpu=False, bf16="bf16" in processor.present())


def choose(wanted: Precision, device: Device) -> Arithmetic:
    """The arithmetic of a training with ``train.precision`` on a device.

    ``auto`` is fp32 on every processor: whether a processor has bf16 then changes no result.

    Raises:
        UserError: ``bf16`` on a GPU that has no bf16.
    """
    match wanted:
        case "bf16" if device.gpu and not device.bf16:
            raise UserError("train.precision: this GPU has no bf16; set it to auto, which is fp16 here, or to fp32")
        case "bf16":
            return Arithmetic("bf16", device)
        case "auto" if device.gpu:
            return Arithmetic("bf16" if device.bf16 else "fp16", device)
        case _:
            return Arithmetic("fp32", device)


def autocast(settings: TrainingArguments) -> contextlib.AbstractContextManager[Any]:
    """What the Trainer wraps around its forward passes with these arguments, for a forward pass outside the Trainer."""
    if settings.bf16 or settings.fp16:
        return torch.autocast(settings.device.type, torch.bfloat16 if settings.bf16 else torch.float16)
    return contextlib.nullcontext()


@contextlib.contextmanager
def own_forward(model: torch.nn.Module) -> Iterator[None]:
    """Give ``model`` its own forward pass back at the end.

    The Trainer leaves its autocast around the forward pass of the model that it has trained. Calibration, decision and
    interval must be fitted on what is served, which is fp32.
    """
    try:
        yield
    finally:
        # `Accelerator.unwrap_model(keep_fp32_wrapper=False)` would remove the decorators of transformers as well.
        for name in ("forward", "_original_forward"):
            model.__dict__.pop(name, None)
