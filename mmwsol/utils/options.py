"""Options of the command line that change settings."""

from __future__ import annotations

import argparse
from typing import Any

from mmengine.config import DictAction


class SettingsAction(DictAction):
    """``KEY=VALUE ...``, where a word without ``=`` is an error of usage."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add the settings to those given before."""
        for word in values or ():
            if not word.partition("=")[0].strip() or "=" not in word:
                raise argparse.ArgumentError(self, f"'{word}' is not KEY=VALUE")
        super().__call__(parser, namespace, values, option_string)
