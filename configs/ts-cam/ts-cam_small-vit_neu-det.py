# TS-CAM on NEU-DET (six defects of steel, 64x64), a small vision transformer from scratch. Minutes on two CPU cores.
# Two stages as in ts-cam_small-vit_tiny-imagenet-20.py: the first trains the class token, whose attention TS-CAM reads.
_base_ = [
    '../_base_/models/small-vit_64.py',
    '../_base_/datasets/neu-det_64.py',
    '../_base_/schedules/small-vit.py',
]
model = dict(
    head=dict(type='mmwsol.ConvCAMHead', num_classes=6, in_channels=128),
    map_to_box=dict(type='mmwsol.ContourBox', preset='tscam', threshold=0.1))
stages = [
    dict(
        name='pretrain',
        model=dict(head=dict(_delete_=True, type='mmwsol.ClsTokenHead', num_classes=6, in_channels=128)),
        train_cfg=dict(max_epochs=30, val_interval=10)),
    dict(
        name='ts-cam',
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=15, val_interval=5)),
]
