# LCTR (Chen et al., AAAI 2022), DeiT-S/16 at 224 on CUB-200-2011.
_base_ = [
    '../_base_/datasets/cub_224_deit-aug.py',
    '../_base_/schedules/cdtr_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', drop_path_rate=0.1, tap='full', tap_in_train=True),
    head=dict(type='mmwsol.LCTRHead', num_classes=200, in_channels=384),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', default_box='frame', threshold=0.09),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
# LCTR's schedule is CDTR's with 80 epochs.
param_scheduler = dict(end=80)
train_cfg = dict(max_epochs=80)
