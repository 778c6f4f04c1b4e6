"""Work that an ONNX graph need not do."""

from collections import defaultdict
from typing import Final

import numpy as np
import onnx

# What computes each token of its output from the same token of its inputs.
TOKENWISE: Final = frozenset(["LayerNormalization", "MatMul", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Erf", "Tanh"])


def keep_first_token(model: onnx.ModelProto) -> None:
    """Let the last layer of an encoder that classifies by its first token compute that token alone.

    The pooler takes token 0 of the last hidden state, shape (rows, tokens, width), by a Gather. Taking it already where
    attention hands over to the feed-forward part gives the same logits: all between works on each token by itself.
    A graph without exactly one such Gather is left as it is.
    """
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = defaultdict(list)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        for name in node.input:
            readers[name].append(node.name)
    poolers = [node for node in graph.node if _takes_first_token(node, constants)]
    if len(poolers) != 1:
        return
    # The nodes that nothing but the pooler needs, back to those that look at more than one token.
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
