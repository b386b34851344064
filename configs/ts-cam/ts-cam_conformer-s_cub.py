# TS-CAM (Gao et al., ICCV 2021), Conformer-S/16 at 224 on CUB-200-2011.
_base_ = [
    '../_base_/datasets/cub_224.py',
    '../_base_/schedules/ts-cam_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapConformer', arch='small', drop_path_rate=0.1),
    head=dict(type='mmwsol.ConformerCAMHead', num_classes=200, in_channels=384, conv_channels=1024),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1),
    # A release of pengzhiliang/Conformer, without a direct URL: put the file there, or into $MMWSOL_CHECKPOINT_ROOT.
    init_cfg=dict(type='Pretrained', checkpoint='checkpoints/conformer_small_patch16.pth'))
