"""How much memory a process has taken."""

import sys

import torch


def peak_memory(device: torch.device) -> int:
    """Returns the most memory so far in bytes: on a GPU what is reserved there, else what the process itself held.

    Nothing waits for the device. Processes that read images are not counted.

    Args:
        device: where the network is.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if sys.platform == "win32":  # there the standard library does not tell
        return 0
    import resource

    # Linux counts kilobytes, macOS bytes.
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
