"""Print a config as a run would use it."""

from __future__ import annotations

import argparse

from mmwsol.utils.options import SettingsAction  # light; everything heavy is imported in main()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file, or its name: ts-cam_deit-s_cub")
    parser.add_argument("--stage", metavar="NAME", help="print the merged config of a stage")
    parser.add_argument("--cfg-options", nargs="+", action=SettingsAction, metavar="KEY=VALUE")
    args = parser.parse_args()

    from mmwsol.utils.config import load_config
    from mmwsol.utils.tool_errors import one_line_errors

    with one_line_errors(args.config):
        cfg = load_config(args.config, args.cfg_options)
        if args.stage is not None:
            from mmwsol.engine.stages import select_stage, stage_configs

            cfg = select_stage(stage_configs(cfg, args.cfg_options), args.stage).cfg
    print(cfg.pretty_text, flush=True)


if __name__ == "__main__":
    main()
