"""The transformer as an ONNX graph: exported from torch, without needless work, and quantised."""

import contextlib
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

from movie_ratings.training.transformer import Transformer

OPSET: Final = 18
LARGEST: Final = (1 << 31) - (1 << 24)  # bytes of weights: a protobuf message has less than 2 GB, operators included

# Operators that compute each token of the output from the same token of the inputs.
TOKENWISE: Final = frozenset(["LayerNormalization", "MatMul", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh"])


def export(transformer: Transformer, path: Path) -> None:
    """Write the map of `Transformer.forward` as an ONNX graph: token ids and attention mask to class logits."""
    # The rows differ in length: the exporter takes a size for a constant if it meets one value of it alone.
    ids = torch.arange(32).reshape(2, 16) % transformer.model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: "rows", 1: "tokens"}
    transformer.eval()
    with _plain_attention(transformer.model), warnings.catch_warnings():
        # The tracer warns of each size that it might take for a constant; the export stage checks that it took none.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            transformer,
            (ids, mask),
            str(path),
            dynamo=False,  # the newer exporter needs another package
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "rows"}},
        )
    graph = onnx.load(path)
    keep_first_token(graph)
    onnx.save(graph, path)


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
    """Write the graph ``source`` with int8 weights; the activations are quantised as they are computed."""
    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantize_dynamic(
        prepared,
        target,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # processors without VNNI add products in 16 bits, which eight-bit weights overflow
    )
    prepared.unlink()


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
