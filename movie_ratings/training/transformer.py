"""The fine-tuned transformer: from movies to class logits, the same way in training, in export and in the study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from movie_ratings.core.arrays import Floats
from movie_ratings.model import checkpoint
from movie_ratings.model.batches import by_length, pad
from movie_ratings.model.head import Head
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.text import TextFormat, encode
from movie_ratings.training import pretrained
from movie_ratings.training.objectives import class_logits


class Transformer(torch.nn.Module):
    """A model with all that turns movies into its class logits: tokenizer, head, text format and thresholds.

    As a module, it maps token ids and attention mask, both (rows, tokens), to class logits (rows, classes). The export
    traces this map.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        head: Head,
        text: TextFormat,
        thresholds: Thresholds,
    ):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.head, self.text, self.thresholds = head, text, thresholds

    @classmethod
    def load(cls, folder: str | Path) -> "Transformer":
        """The transformer of a checkpoint folder.

        Raises:
            UserError: the folder, its metadata, its model or its tokenizer is missing or cannot be read.
        """
        metadata = checkpoint.read(folder)
        model, tokenizer = pretrained.load_checkpoint(folder)
        return cls(model, tokenizer, metadata.head, metadata.text, metadata.thresholds)

    @property
    def pad_id(self) -> int:
        """The token id that fills the shorter rows of a batch."""
        return int(self.tokenizer.pad_token_id)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Class logits (rows, classes) of token ids and attention mask (rows, tokens)."""
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return class_logits(outputs.float(), self.head, self.thresholds)

    def logits(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Class logits (movies, classes) before calibration, in the order of ``movies``."""
        outputs = torch.from_numpy(self.outputs(movies)).float()
        return class_logits(outputs, self.head, self.thresholds).double().numpy()

    def outputs(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """What the model's last layer gives (movies, outputs), in the order of ``movies``; see `model.head.OUTPUTS`."""
        input_ids = encode(self.tokenizer.backend_tokenizer, movies, self.text)
        outputs = np.zeros((len(input_ids), self.model.config.num_labels))
        self.eval()
        device = self.model.device
        with torch.inference_mode():
            for batch in by_length([len(ids) for ids in input_ids]):
                tables = pad([input_ids[row] for row in batch], self.pad_id)
                ids, mask = (torch.from_numpy(table).to(device) for table in tables)
                outputs[batch] = self.model(input_ids=ids, attention_mask=mask).logits.float().cpu().numpy()
        return outputs
