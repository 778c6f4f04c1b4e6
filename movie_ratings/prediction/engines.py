"""Engines: the libraries that compute a served graph, and the choice among them.

ONNX Runtime computes every graph, on a GPU where its GPU package is installed and finds one. OpenVINO computes an fp32
graph with products in bf16 on processors with instructions for bf16, which do so faster than fp32.
"""

import importlib.util
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from movie_ratings.core import processor
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction import served
from movie_ratings.prediction.served import Served, Variant

# What a caller requests: auto takes bf16 where it is faster and the export stage found it to predict nearly the same.
Precision = Literal["auto", "fp32"]
# What a prediction was computed in.
Computed = Literal["fp32", "bf16", "int8"]
Tokens = npt.NDArray[np.int64]

INPUTS: Final = ("input_ids", "attention_mask")
OUTPUT: Final = "logits"
TYPES: Final = {"tensor(int64)": "i64", "tensor(float)": "f32"}  # names of ONNX Runtime, and those of OpenVINO
# Padded tokens in a batch: larger batches exceed the caches of a few cores and are slower.
TOKENS: Final = 512
GPU_TOKENS: Final = 16_384
CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"


class Engine(Protocol):
    """Computes a graph: token ids and attention mask, each (rows, tokens), to class logits (rows, classes).

    The logits of a row depend on its tokens and on the number of padded tokens alone: the same bytes whatever rows
    stand beside it. ``tokens`` is the number of padded tokens that a batch should have at most.
    """

    precision: Computed
    tokens: int

    def logits(self, ids: Tokens, mask: Tokens) -> npt.NDArray[np.float32]:
        """The class logits of a batch."""


class OnnxRuntime:
    """ONNX Runtime with ``threads`` computing threads; 0 means one for each core."""

    def __init__(self, folder: Path, weights: Sequence[str], variant: Variant, threads: int = 0):
        import onnxruntime  # takes a fifth of a second, which --help and typing errors should not cost

        # Only fatal errors: an error is an exception too, whose message becomes one line.
        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        if weights:
            # ONNX Runtime would not follow the links that DVC can make of the files, because they leave the folder.
            maps = [np.memmap(folder / name, np.uint8, "r") for name in weights]
            options.add_external_initializers_from_files_in_memory(list(weights), maps, list(map(len, maps)))
        chosen = providers(onnxruntime.get_available_providers(), variant)
        if len(chosen) > 1:
            onnxruntime.preload_dlls()  # CUDA's libraries, if pip has installed them
        self._session = onnxruntime.InferenceSession(folder / served.GRAPH, options, chosen)
        self.precision: Computed = variant
        self.tokens = GPU_TOKENS if CUDA in self._session.get_providers() else TOKENS
        _require_signature(
            {found.name: TYPES.get(found.type, found.type) for found in self._session.get_inputs()},
            {found.name: (TYPES.get(found.type, found.type), found.shape) for found in self._session.get_outputs()},
            folder / served.GRAPH,
        )

    def logits(self, ids: Tokens, mask: Tokens) -> npt.NDArray[np.float32]:
        """See `Engine`."""
        (found,) = self._session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))
        return found


class OpenVino:
    """OpenVINO with products in bf16; ``precision`` fp32 is for tests on processors without bf16.

    The graph must be one file: its bytes are read, so that it can name no other file.
    """

    tokens = TOKENS

    def __init__(self, folder: Path, precision: Literal["bf16", "fp32"] = "bf16", threads: int = 0):
        import openvino

        core, path = openvino.Core(), folder / served.GRAPH
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[precision],
            "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all threads
        }
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        graph = core.read_model(model=path.read_bytes())
        _require_signature(
            {found.any_name: found.element_type.to_string() for found in graph.inputs},
            {found.any_name: (found.element_type.to_string(), _sizes(found.partial_shape)) for found in graph.outputs},
            path,
        )
        self._request = core.compile_model(graph, "CPU", options).create_infer_request()
        self._lock = threading.Lock()  # a request computes one batch at a time; ONNX Runtime's session takes several
        self.precision: Computed = precision

    def logits(self, ids: Tokens, mask: Tokens) -> npt.NDArray[np.float32]:
        """See `Engine`."""
        with self._lock:
            found = self._request.infer(dict(zip(INPUTS, (ids, mask), strict=True)), share_inputs=True)
            return np.array(found[OUTPUT])  # a copy: the next batch writes over it


def load(folder: Path, model: Served, precision: Precision, threads: int = 0) -> Engine:
    """The engine for a served folder whose files have been checked.

    Raises:
        UserError: the graph is not that of a served model.
    """
    if computes_in_bf16(model, precision) and "BF16" in _capabilities() and not _names_files(folder):
        try:
            return OpenVino(folder, threads=threads)
        # It raises whatever its native parts raise. ONNX Runtime computes every graph that the export stage writes.
        except Exception as error:
            reason = f"OpenVINO cannot compute this model ({first_line(error)})"
            warnings.warn(f"{folder}: fp32 is used, {reason}", stacklevel=2)
    return OnnxRuntime(folder, model.weights, model.variant, threads)


def computes_in_bf16(model: Served, precision: Precision) -> bool:
    """Whether ``precision`` lets a model be computed in bf16, on a processor that can."""
    return precision == "auto" and model.bf16 and not model.weights


def providers(available: Sequence[str], variant: Variant) -> list[Any]:
    """The providers of ONNX Runtime for a graph, in the order in which it tries them.

    TF32, which the GPU's provider would use by default, rounds the inputs of products to 10 bits: fp32 is fp32.
    """
    gpu: list[Any] = [(CUDA, {"use_tf32": "0"})] if CUDA in available and variant == "fp32" else []
    return [*gpu, CPU]


def _capabilities() -> Sequence[str]:
    """What OpenVINO can compute in on this processor; nothing without instructions for bf16, or without OpenVINO.

    Importing OpenVINO takes half a second, which processors without bf16 need not wait for.
    """
    if "bf16" not in processor.present() or importlib.util.find_spec("openvino") is None:
        return ()
    import openvino

    found: list[str] = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return found


def _names_files(folder: Path) -> bool:
    """Whether the graph may name files with weights: those have a "location" there, which OpenVINO would follow."""
    return served.occurs(b"location", folder / served.GRAPH)


def _sizes(shape: Any) -> list[int | None]:
    """The sizes of a shape of OpenVINO, None where one is not fixed."""
    return [None if size.is_dynamic else size.get_length() for size in shape]


def _require_signature(
    inputs: Mapping[str, str], outputs: Mapping[str, tuple[str, Sequence[Any]]], place: Path
) -> None:
    """Check the names and types of the inputs and outputs, and the number of classes where the graph fixes it."""
    if inputs != dict.fromkeys(INPUTS, "i64"):
        raise UserError(f"{place}: not the graph of a served model, it reads {', '.join(inputs) or 'nothing'}")
    kind, sizes = outputs.get(OUTPUT, ("", ()))
    last = next(reversed(sizes), None)  # a name where the size is not fixed
    if list(outputs) != [OUTPUT] or kind != "f32" or (isinstance(last, int) and last != len(CLASSES)):
        raise UserError(f"{place}: not the graph of a served model, it computes {', '.join(outputs) or 'nothing'}")
