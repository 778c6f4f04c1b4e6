"""Embeddings of movies: the states of a pretrained transformer that was not fine-tuned."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from movie_ratings.core.arrays import Floats
from movie_ratings.model.batches import by_length, pad
from movie_ratings.movies.text import TextFormat, encode
from movie_ratings.training import encoder, pretrained


def embed(name: str, movies: Sequence[Mapping[str, Any]], text: TextFormat) -> Floats:
    """Return the mean of the last hidden states over each movie's tokens, shape (movies, hidden size), of unit length.

    ``name`` is the pretrained model.

    Source: Reimers and Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.

    Raises:
        UserError: the model cannot be loaded, or reads fewer tokens than the text format has.
    """
    classifier, tokenizer = pretrained.load(name, text.max_length)
    model = encoder.base(classifier).eval()
    input_ids, pad_id = encode(tokenizer.backend_tokenizer, movies, text), int(tokenizer.pad_token_id)

    def mean_states(rows: list[int]) -> tuple[list[int], Floats]:
        with torch.inference_mode():
            ids, mask = (torch.from_numpy(table) for table in pad([input_ids[row] for row in rows], pad_id))
            hidden = model(input_ids=ids, attention_mask=mask)[0]
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            return rows, torch.nn.functional.normalize(mean, dim=1).double().numpy()

    embeddings = np.zeros((len(input_ids), int(classifier.config.hidden_size)))
    batches = by_length([len(ids) for ids in input_ids])
    # One thread computes a batch: a sum shared by several threads is rounded differently with each number of threads.
    with (
        ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool,
        tqdm(total=len(input_ids), desc="embeddings", unit=" movies") as progress,
    ):
        for rows, found in pool.map(mean_states, batches):
            embeddings[rows] = found
            progress.update(len(rows))
    return embeddings
