"""Several processes that train one model: what `torchrun` tells each of them."""

import os


def count() -> int:
    """How many processes train together; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that writes."""
    return os.environ.get("RANK", "0") == "0"


def agreed(wish: bool) -> bool:
    """What the first process wishes, so that all do the same; every process must ask."""
    if count() == 1:
        return wish
    import torch  # only a training under torchrun needs it here

    flag = torch.tensor([float(wish)], device="cuda" if torch.cuda.is_available() else "cpu")
    torch.distributed.broadcast(flag, src=0)
    return bool(flag.item())
