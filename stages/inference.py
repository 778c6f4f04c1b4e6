"""Logits of many rows with torch: the one forward pass that training, evaluation and prediction share."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from stages.batches import by_length, pad
from stages.decision import Floats
from stages.labels import CLASSES


def classifier_logits(model: PreTrainedModel, pad_id: int, input_ids: Sequence[Sequence[int]]) -> Floats:
    """Logits, shape (rows, classes), of unpadded token ids, in the order of the rows."""
    logits = np.zeros((len(input_ids), len(CLASSES)))
    model.eval()
    with torch.inference_mode():
        for batch in by_length([len(ids) for ids in input_ids]):
            ids, mask = pad([input_ids[row] for row in batch], pad_id)
            output = model(
                input_ids=torch.from_numpy(ids).to(model.device), attention_mask=torch.from_numpy(mask).to(model.device)
            )
            logits[batch] = output.logits.float().cpu().numpy()
    return logits
