# TS-CAM on Imagenette (ten classes, 64x64), a small vision transformer from scratch. Two stages as in
# ts-cam_small-vit_tiny-imagenet-20.py: the first trains the class token, whose attention TS-CAM reads.
_base_ = ['../_base_/small-vit/imagenette.py']
model = dict(head=dict(type='mmwsol.ConvCAMHead'))
stages = [
    dict(
        name='pretrain',
        model=dict(head=dict(type='mmwsol.ClsTokenHead')),
        train_cfg=dict(max_epochs=14)),
    dict(
        name='ts-cam',
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=8)),
]
