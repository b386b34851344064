"""Offline stages: one pass over the training images that leaves one file per image."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, barrier, is_main_process
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from mmwsol.datasets.offline_cache import MANIFEST, CacheWriter, OfflineCache, spread
from mmwsol.datasets.wrappers import inner_config, inner_dataset
from mmwsol.engine.hooks.num_classes_hook import NumClassesHook
from mmwsol.engine.json_files import read_json
from mmwsol.files import write_bytes
from mmwsol.models.wrappers import unwrapped
from mmwsol.registry import DATASETS, LOOPS, TASK_UTILS
from mmwsol.utils.config import differences
from mmwsol.visualization import draw_panel, draw_sheet

VERSION = 1
SHEET = "contact_sheet.png"
SHEET_ROWS = 24  # images
_FEW = 10  # fewer failed images never stop a stage
_GIVE_UP = 100  # images in a row that fail before anything succeeded


class OfflineItems(Dataset):
    """The images of a data set, each once, through its pipeline; an image that fails gives the reason instead.

    Args:
        dataset: Data set with ``get_data_info``, possibly inside wrappers such as ``RepeatDataset``.

    Attributes:
        names: ``img_id`` of every image, in the order of the data set.

    Raises:
        ValueError: If there is no pipeline (``ConcatDataset`` has several).
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        seen: dict[str, int] = {}
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            seen.setdefault(str(info.get("img_id", info.get("img_path"))), index)
        self.names = list(seen)
        self.indices = list(seen.values())
        inner = inner_dataset(dataset)
        if not hasattr(inner, "pipeline"):
            raise ValueError(f"OfflineLoop needs a data set with one pipeline, got {type(inner).__name__}.")
        self.pipeline = inner.pipeline

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[int, dict | None, str]:
        """Return ``i``, what the pipeline made of the image (None if it failed) and the reason."""
        try:
            data = self.pipeline(self.dataset.get_data_info(self.indices[i]))
        except Exception as error:  # decoders raise anything on broken files
            reason = re.sub(r" at 0x[0-9a-f]+", "", str(error))  # Pillow's has an address: new in every run
            return i, None, f"{type(error).__name__}: {reason}"
        return i, data, "" if data is not None else "the pipeline gave nothing"


@LOOPS.register_module()
class OfflineLoop(BaseLoop):
    """Go once over the training set and leave a cache: one file per image and ``manifest.json``.

    The images are shared out over the ranks, read by the workers of ``train_dataloader`` (its sampler is not used),
    processed by the model in evaluation mode, and finished in threads, as many as the rank has cores. A file is written
    under another name and then renamed: it exists if and only if it is whole. A second run, after a kill at any point
    or with other ranks, goes on with the images that have no file. Images that cannot be read are listed in the log and
    the manifest, and left out. ``contact_sheet.png`` in the work directory shows 24 of them, evenly spread, where the
    writer has pictures. The pipeline must be deterministic. As a stage it trains nothing and hands on the
    checkpoint it started from.

    Args:
        runner: The runner.
        dataloader: ``train_dataloader``: data set, ``batch_size`` and ``num_workers`` are used.
        writer: A :class:`CacheWriter`, in the registry TASK_UTILS.
        cache_dir: Folder of the cache. Defaults to None: ``cache`` in the work directory of the stage.
        log_interval: Seconds between two lines of progress. Defaults to 5.
        max_failed: Share of the images that may fail. If more do, and at least 10, the stage stops before the
            cache counts as complete; a later run goes on with the images that have no file. Defaults to 0.1.

    Raises:
        ValueError: If ``max_failed`` is no share, or two images have the same place in the cache; in :meth:`run`, if
            the cache was made with other settings or weights, or too many images cannot be read.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        writer: dict,
        cache_dir: str | None = None,
        log_interval: float = 5.0,
        max_failed: float = 0.1,
    ) -> None:
        if not 0 <= max_failed <= 1:
            raise ValueError(f"max_failed must be a share from 0 to 1, got {max_failed!r}.")
        self.max_failed = max_failed
        dataset = DATASETS.build(dataloader["dataset"])
        if hasattr(dataset, "full_init"):
            dataset.full_init()
        self.batch_size = dataloader["batch_size"]
        self.num_workers = dataloader.get("num_workers", 0)
        items = OfflineItems(dataset)
        config = dataloader["dataset"]
        self.pipeline = inner_config(config).get("pipeline") if isinstance(config, Mapping) else repr(items.pipeline)
        super().__init__(runner, self._dataloader(items))
        self.writer: CacheWriter = TASK_UTILS.build(writer)
        root = Path(cache_dir or Path(runner.work_dir, "cache"))
        self.cache = OfflineCache(root, self.writer.suffix, items)
        _check_places(self.cache)
        self.num_threads = threads_of_rank()
        self.log_interval = log_interval
        runner.param_schedulers = None  # nothing is trained: schedules need not fit this loop
        # What a Runner asks of a loop.
        self.epoch, self.max_epochs = 0, 1
        self.iter, self.max_iters = 0, len(self.dataloader)
        self.val_interval, self.val_begin = 1, 1

    def _dataloader(self, items: Dataset) -> DataLoader:
        return DataLoader(items, self.batch_size, num_workers=self.num_workers, collate_fn=list)

    def run(self) -> nn.Module:
        """Write the files that are missing."""
        cache, runner = self.cache, self.runner
        names = cache.items.names
        model = unwrapped(runner.model)
        model.eval()
        for hook in runner.hooks:
            if isinstance(hook, NumClassesHook):
                hook.check_data(runner, cache.items.dataset, "train_dataloader")
        self.writer.setup(runner)
        manifest = self._manifest(model)
        before = self._check_manifest(manifest)
        missing = [i for i in range(len(names)) if not cache.path(i).is_file()]
        barrier()  # every rank has looked before one writes
        if before.get("complete") and {names[i] for i in missing} == set(before.get("failed", {})):
            runner.logger.info(f"Cache {cache.root} is complete already.")
            return runner.model
        if is_main_process():
            cache.root.mkdir(parents=True, exist_ok=True)
            write_bytes(cache.root / MANIFEST, _json(manifest))
        barrier()
        runner.logger.info(f"Cache {cache.root}: {len(names) - len(missing)} of {len(names)} images are there.")
        failed: dict[str, str] = {}
        mine = missing[runner.rank :: runner.world_size]
        for part in all_gather_object(self._write(model, mine, len(missing) < len(names))):
            failed.update(part)
        if len(failed) == len(names):
            raise ValueError(f"no image could be read; the first: {next(iter(failed.items()))}.")
        if len(failed) >= _FEW and len(failed) > self.max_failed * len(names):
            raise ValueError(
                f"{len(failed)} of {len(names)} images cannot be read, more than max_failed={self.max_failed:g}; the "
                f"first: {next(iter(failed.items()))}. The cache '{cache.root}' is not complete: when the images are "
                "there, run this stage again, it goes on. If they are broken for good: train_cfg.max_failed=1."
            )
        if is_main_process():
            self._close(manifest, failed)
        barrier()
        return runner.model

    def dry_run(self) -> None:
        """Make the file of the first batch's first image, without writing it."""
        model = unwrapped(self.runner.model)
        model.eval()
        self.writer.setup(self.runner)
        data = [data for _, data, _ in next(iter(self.dataloader)) if data is not None]
        with torch.no_grad():
            self.writer.finish(self.writer.process(model, pseudo_collate(data))[0])

    def _manifest(self, model: nn.Module) -> dict[str, Any]:
        manifest = dict(
            version=VERSION,
            writer=type(self.writer).__name__,
            suffix=self.writer.suffix,
            params=self.writer.params(),
            pipeline=self.pipeline,
            weights=weights_hash(self.writer.weights(model)),
            num_images=len(self.cache.items),
            complete=False,
            failed={},
            summary={},
        )
        return json.loads(_json(manifest))  # tuples become lists, as in the file

    def _check_manifest(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Return the manifest of an earlier run, or {}; refuse one whose files would be others."""
        root = self.cache.root
        path = root / MANIFEST
        if not path.is_file():
            if root.is_dir() and any(root.iterdir()):
                raise ValueError(f"cache_dir '{root}' has files but no {MANIFEST}: choose an empty folder.")
            return {}
        advice = f"Delete the folder '{root}', or choose another cache_dir."
        before = read_json(path, advice)
        if not isinstance(before.get("failed", {}), dict):
            raise ValueError(f"'{path}' is damaged: 'failed' is no object. {advice}")
        keys = ("version", "writer", "suffix", "params", "pipeline", "weights")
        then, now = ({key: m.get(key) for key in keys} for m in (before, manifest))
        changes = differences(then, now)
        if changes:
            raise ValueError(
                f"the cache '{root}' was made with other settings; changed since: {', '.join(changes)}. Delete it, or "
                "choose another cache_dir."
            )
        return before

    def _write(self, model: nn.Module, indices: list[int], succeeded: bool) -> dict[str, str]:
        """Write the files of the images ``indices`` and return the failed ones with their reasons."""
        logger, world_size = self.runner.logger, self.runner.world_size
        failed: dict[str, str] = {}
        pending: deque[Future] = deque()
        done, start = 0, time.monotonic()
        logged = start
        with torch.no_grad(), ThreadPoolExecutor(self.num_threads) as pool:
            for items in self._dataloader(Subset(self.cache.items, indices)):
                good = [(i, data) for i, data, _ in items if data is not None]
                for i, data, reason in items:
                    if data is None:
                        failed[self.cache.items.names[i]] = reason
                        logger.warning(f"image '{self.cache.items.names[i]}' is left out: {reason}")
                for same in _by_size(good):
                    jobs = self.writer.process(model, pseudo_collate([data for _, data in same]))
                    for (i, _), job in zip(same, jobs, strict=True):
                        pending.append(pool.submit(self._save, i, job))
                if not good and len(failed) >= _GIVE_UP and not (succeeded or done):
                    raise ValueError(f"the first {len(failed)} images all failed, the last with: {reason}")
                self.iter += 1
                while len(pending) > self.batch_size + 2 * self.num_threads:
                    pending.popleft().result()
                    done += 1
                now = time.monotonic()
                if now - logged >= self.log_interval:
                    logged = now
                    _log_progress(logger, done, len(indices) - len(failed), now - start, world_size)
            while pending:
                pending.popleft().result()
                done += 1
        if done:
            _log_progress(logger, done, done, time.monotonic() - start, world_size)
        return failed

    def _save(self, i: int, job: Any) -> None:
        path = self.cache.path(i)
        content = self.writer.finish(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)

    def _close(self, manifest: dict[str, Any], failed: dict[str, str]) -> None:
        """Summarize and write the final manifest."""
        if failed:
            count = f"{len(failed)} of {len(self.cache.items)}"
            self.runner.logger.warning(f"{count} images could not be read: {MANIFEST} lists them.")
        with torch.no_grad():
            summary = self.writer.summarize(self.cache)
            self._write_sheet()
        for key, value in summary.items():
            self.runner.logger.info(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}")
        final = dict(manifest, complete=True, failed=dict(sorted(failed.items())), summary=summary)
        write_bytes(self.cache.root / MANIFEST, _json(final))

    def _write_sheet(self) -> None:
        """Write the contact sheet, in the work directory: the cache may belong to several runs."""
        if not self.writer.titles:
            return
        cache, rows, without = self.cache, [], 0
        for i in spread([i for i in range(len(cache.items)) if cache.path(i).is_file()], SHEET_ROWS):
            _, data, _ = cache.items[i]
            if data is not None:
                panels = self.writer.panels(data, cache.path(i))
                rows.append([draw_panel(*panel) for panel in panels])
                without += not any(len(panel.gt_bboxes) for panel in panels)
        if without:
            self.runner.logger.info(f"{without} of {len(rows)} images of {SHEET} have no ground-truth boxes to draw.")
        if rows:
            sheet = draw_sheet(rows, self.writer.titles, width=160)
            write_bytes(Path(self.runner.work_dir, SHEET), cv2.imencode(".png", sheet)[1].tobytes())


def _by_size(items: list[tuple[int, dict]]) -> list[list[tuple[int, dict]]]:
    """Part images by the size of their inputs: in one batch they would be padded, and their maps with them."""
    groups: dict[Any, list[tuple[int, dict]]] = {}
    for i, data in items:
        groups.setdefault(data["inputs"].shape, []).append((i, data))
    return list(groups.values())


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def threads_of_rank() -> int:
    """Return the number of cores for this rank; launchers tell how many ranks share the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _check_places(cache: OfflineCache) -> None:
    """Refuse two images with one file, such as ``a.jpg`` and ``a.png``."""
    places: dict[Path, str] = {}
    for i, name in enumerate(cache.items.names):
        other = places.setdefault(cache.path(i), name)
        if other != name:
            raise ValueError(f"images '{other}' and '{name}' have the same place in the cache: rename one of them.")


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode()


def _log_progress(logger: Any, done: int, total: int, seconds: float, world_size: int) -> None:
    speed = done / max(seconds, 1e-9)
    share = f" of this rank, one of {world_size}" if world_size > 1 else ""
    left = f", {(total - done) / speed:.0f} s to go" if 0 < done < total else ""
    logger.info(f"{done}/{total} images{share}, {speed:.1f} images/s{left}")
