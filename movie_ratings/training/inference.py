"""Class logits of many rows with torch: the one forward pass that training, evaluation and export share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from movie_ratings.core.arrays import Floats
from movie_ratings.model.batches import Ids, by_length, pad
from movie_ratings.model.head import Head
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.movies.text import TextFormat, encode
from movie_ratings.training.objectives import class_logits


class ClassLogits(torch.nn.Module):
    """The class logits of a transformer as a function of two tensors, whatever its outputs stand for."""

    def __init__(self, model: PreTrainedModel, head: Head, thresholds: Thresholds):
        super().__init__()
        self.model, self.head, self.thresholds = model, head, thresholds

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Shape (rows, classes), of token ids and mask of shape (rows, tokens)."""
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return class_logits(outputs.float(), self.head, self.thresholds)

    def of_movies(
        self, movies: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, text: TextFormat
    ) -> Floats:
        """Shape (movies, classes), as they are served."""
        return self.of(encode(tokenizer.backend_tokenizer, movies, text), int(tokenizer.pad_token_id))

    def of(self, input_ids: Sequence[Ids], pad_id: int) -> Floats:
        """Shape (rows, classes), of unpadded token ids, in the order of the rows."""
        logits = np.zeros((len(input_ids), len(CLASSES)))
        self.eval()
        device = self.model.device
        with torch.inference_mode():
            for batch in by_length([len(ids) for ids in input_ids]):
                ids, mask = pad([input_ids[row] for row in batch], pad_id)
                found = self(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device))
                logits[batch] = found.cpu().numpy()
        return logits
