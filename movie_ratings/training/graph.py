"""The transformer as an ONNX graph: exported from torch, without needless work, and quantised.

A graph is one file, or two: a protobuf message has less than 2 GB, so that the weights of a larger model stand in a
second file, which `weights_beside` names.
"""

import contextlib
import math
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from transformers import PreTrainedModel

from movie_ratings.core import storage
from movie_ratings.training.transformer import Transformer

OPSET: Final = 18
LARGEST: Final = (1 << 31) - (1 << 24)  # bytes of weights in a graph of one file: the rest is left to the operators

# Operators that compute each token of the output from the same token of the inputs.
TOKENWISE: Final = frozenset(["LayerNormalization", "MatMul", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh"])

# Operators that move numbers and compute none.
MOVES: Final = frozenset(["Reshape", "Transpose", "Slice", "Gather", "Unsqueeze", "Expand", "Flatten", "Identity"])


def export(transformer: Transformer, path: Path, largest: int = LARGEST) -> None:
    """Write the map of `Transformer.forward` as an ONNX graph: token ids and attention mask to class logits.

    More than ``largest`` bytes of weights go to a second file; see `weights_beside`.
    """
    # The rows differ in length: the exporter takes a size for a constant if it meets one value of it alone.
    ids = torch.arange(32).reshape(2, 16) % transformer.model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: "rows", 1: "tokens"}
    transformer.eval()
    # The exporter makes a file of each tensor of a large model.
    with storage.scratch(path) as scratch, _plain_attention(transformer.model), warnings.catch_warnings():
        # The tracer warns of each size that it might take for a constant; the export stage checks that it took none.
        warnings.simplefilter("ignore")
        traced = scratch / "traced.onnx"
        torch.onnx.export(
            transformer,
            (ids, mask),
            str(traced),
            dynamo=False,  # the newer exporter needs another package
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "rows"}},
        )
        graph = onnx.load(traced)
    keep_first_token(graph)
    outside = _weights_size(graph) > largest
    onnx.save(graph, path, save_as_external_data=outside, location=_beside(path).name)


def weights_beside(path: Path) -> list[Path]:
    """The files beside the graph ``path`` that hold its weights: one with a fixed name, or none."""
    return [_beside(path)] if _beside(path).exists() else []


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")  # as ONNX Runtime's quantiser names it


def _weights_size(model: onnx.ModelProto) -> int:
    """Bytes of all weights."""
    return sum(
        math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in model.graph.initializer
    )


@contextlib.contextmanager
def _plain_attention(model: PreTrainedModel) -> Iterator[None]:
    """Use plain attention, which gives the faster graph: fused attention adds a guard against rows without tokens."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def quantise(source: Path, target: Path) -> None:
    """Write the graph ``source`` with int8 weights; the activations are quantised as they are computed.

    The weights stand in a second file if those of ``source`` do.
    """
    outside = bool(weights_beside(source))
    # Up to four graphs are on the disk at a time, and the libraries do not notice that it is full.
    storage.require_room(target, 4 * sum(path.stat().st_size for path in [source, *weights_beside(source)]))
    with storage.scratch(target) as scratch, _temporary_files_in(scratch):
        prepared = scratch / "prepared.onnx"
        quant_pre_process(
            source,
            prepared,
            skip_symbolic_shape=True,
            save_as_external_data=outside,
            all_tensors_to_one_file=True,
            external_data_location=_beside(prepared).name,
        )
        quantize_dynamic(
            prepared,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # processors without VNNI add products in 16 bits, which eight-bit weights overflow
            use_external_data_format=outside,
        )


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let libraries make temporary files in ``folder``: those of a large model can be too large for /tmp."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def round_to_bf16(source: Path, target: Path) -> None:
    """Write the graph ``source`` with all weights and results rounded to bf16, computed in fp32 on any processor.

    An engine that computes in bf16 rounds no more than this graph does: it may keep some results in fp32. The weights
    of ``source`` must be in the same file.
    """
    graph = onnx.load(source)
    _round_results(graph)
    onnx.save(graph, target)


def _round_results(model: onnx.ModelProto) -> None:
    """Put a rounding to bf16 behind each weight and each operator with a result in fp32, but the output."""
    graph = model.graph
    described = onnx.shape_inference.infer_shapes(model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in described}
    floats = [tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    nodes: list[onnx.NodeProto] = []
    rounded: dict[str, str] = {}

    def round_(name: str) -> None:
        short, back = f"{name}/bf16", f"{name}/rounded"
        nodes.append(onnx.helper.make_node("Cast", [name], [short], to=onnx.TensorProto.BFLOAT16))
        nodes.append(onnx.helper.make_node("Cast", [short], [back], to=onnx.TensorProto.FLOAT))
        rounded[name] = back

    for name in floats:
        round_(name)
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = rounded.get(name, name)
        nodes.append(node)
        for name in node.output:
            if types.get(name) == onnx.TensorProto.FLOAT and name not in outputs and node.op_type not in MOVES:
                round_(name)
    del graph.node[:]
    graph.node.extend(nodes)


def keep_first_token(model: onnx.ModelProto) -> None:
    """Restrict the last layer of an encoder that classifies by its first token to this token; changes ``model``.

    The pooler takes token 0 of the last hidden state, shape (rows, tokens, width), by a Gather. The operators between
    attention and this Gather compute each token by itself, so that taking token 0 after attention gives the same
    logits. A graph without exactly one such Gather stays as it is.
    """
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        if node.op_type == "Identity" and node.input[0] in constants:  # of two equal weights the exporter stores one
            constants[node.output[0]] = constants[node.input[0]]
        for name in node.input:
            readers[name].append(node.name)
    poolers = [node for node in graph.node if _takes_first_token(node, constants)]
    if len(poolers) != 1:
        return
    # The nodes whose outputs only the pooler reads, up to those that read more than one token.
    narrowed = {poolers[0].name}
    for node in reversed(graph.node):
        read = [reader for name in node.output for reader in readers[name]]
        if read and _tokenwise(node, constants) and narrowed.issuperset(read):
            narrowed.add(node.name)
    inner = {name for node in graph.node if node.name in narrowed for name in node.output}
    nodes, sliced = [], set()
    for node in graph.node:
        if node.name in narrowed:
            for place, name in enumerate(node.input):
                if name in inner or name in constants:
                    continue
                if name not in sliced:
                    sliced.add(name)
                    nodes.append(onnx.helper.make_node("Slice", [name, "from", "to", "axis"], [f"{name}/first_token"]))
                node.input[place] = f"{name}/first_token"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for name, value in (("from", 0), ("to", 1), ("axis", 1)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))


def _takes_first_token(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> bool:
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    return node.op_type == "Gather" and axis == 1 and np.array_equal(constants.get(node.input[1], [-1]), 0)


def _tokenwise(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> bool:
    return node.op_type in TOKENWISE and (node.op_type != "MatMul" or node.input[1] in constants)
