"""Several processes that train one model, started by `torchrun`: their number and their agreement."""

import os


def count() -> int:
    """The number of processes that train together; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"


def agreed(value: bool) -> bool:
    """The ``value`` of the first process, in all processes; every process must call this function."""
    if count() == 1:
        return value
    import torch  # only a training under torchrun needs torch here

    flag = torch.tensor([float(value)], device="cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.broadcast(flag, src=0)
    return bool(flag.item())
