# TS-CAM on tiny-imagenet-20 (20 classes, 64x64), a small vision transformer from scratch. About 15 minutes on two CPU
# cores. TS-CAM reads the attention of the class token, which its own loss trains only through patches that attend to
# it, and not at all in the last block: the official models start from ImageNet weights, whose class token was trained
# to classify. The first stage does that here.
_base_ = ['../_base_/small-vit/tiny-imagenet-20.py']
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
