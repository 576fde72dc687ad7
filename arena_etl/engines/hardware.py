"""Where models run on this machine and in which number format: one answer for generating, judging and training."""

from arena_etl.config import Engine
from arena_etl.errors import InputError


def device(settings: Engine) -> str:
    """``cuda`` or ``cpu``. Raises InputError when a GPU is asked for and torch finds none."""
    import torch

    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise InputError("engine.device is cuda, but torch finds no GPU here. Set it to auto or cpu.")
    return "cuda" if available and settings.device != "cpu" else "cpu"


def dtype(settings: Engine) -> str:
    """``bfloat16`` or ``float32``. auto: bfloat16 where the hardware multiplies it; emulated it is far slower."""
    import torch

    if settings.dtype != "auto":
        return settings.dtype
    if device(settings) == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        native = any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return "bfloat16" if native else "float32"
