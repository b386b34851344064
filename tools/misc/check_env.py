"""The same as ``mmwsol doctor``: print versions, known conflicts and how to repair them. A fatal one exits with 1."""

from __future__ import annotations

import argparse
import sys

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    from mmwsol.doctor import main

    sys.exit(main())
