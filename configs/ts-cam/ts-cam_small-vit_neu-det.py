# TS-CAM on NEU-DET (six defects of steel, 64x64), a small vision transformer from scratch. Minutes on two CPU cores.
# Two stages as in ts-cam_small-vit_tiny-imagenet-20.py: the first trains the class token, whose attention TS-CAM reads.
_base_ = ['../_base_/small-vit/neu-det.py']
model = dict(head=dict(type='mmwsol.ConvCAMHead'))
stages = [
    dict(
        name='pretrain',
        model=dict(head=dict(type='mmwsol.ClsTokenHead')),
        train_cfg=dict(max_epochs=30, val_interval=10)),
    dict(
        name='ts-cam',
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=15, val_interval=5)),
]
