"""Sentence embeddings of movies by a model that nothing has been trained on top of."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from stages import frozen, pretrained
from stages.batches import by_length, pad
from stages.decision import Floats
from stages.text import TextFormat, encode


def embed(name: str, movies: Sequence[Mapping[str, Any]], text: TextFormat) -> Floats:
    """The mean of each movie's last hidden states by the model ``name``, shape (movies, hidden size), of length 1.

    Source: Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.

    Raises:
        UserError: the model cannot be loaded.
    """
    tokenizer, model = pretrained.load_tokenizer(name), frozen.base(pretrained.load_model(name, 0)).eval()
    input_ids, pad_id = encode(tokenizer.backend_tokenizer, movies, text), int(tokenizer.pad_token_id)
    embeddings: list[Any] = [None] * len(input_ids)
    with torch.inference_mode(), tqdm(total=len(input_ids), desc="embeddings", unit=" movies") as progress:
        for rows in by_length([len(ids) for ids in input_ids]):
            ids, mask = (torch.from_numpy(t) for t in pad([input_ids[row] for row in rows], pad_id))
            hidden = model(input_ids=ids, attention_mask=mask)[0]
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            for row, vector in zip(rows, torch.nn.functional.normalize(mean, dim=1).numpy(), strict=True):
                embeddings[row] = vector
            progress.update(len(rows))
    return np.array(embeddings, dtype=np.float64)
