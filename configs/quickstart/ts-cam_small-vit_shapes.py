# TS-CAM on Shapes, a small vision transformer from scratch. Minutes on two CPU cores. TS-CAM reads the attention of the
# class token, which its own loss trains only through patches that attend to it, and not at all in the last block: the
# official models start from ImageNet weights, whose class token was trained to classify. The first stage does that
# here.
_base_ = ['../_base_/small-vit/shapes.py']
model = dict(head=dict(type='mmwsol.ConvCAMHead'))
stages = [
    dict(
        name='pretrain',
        model=dict(head=dict(type='mmwsol.ClsTokenHead')),
        train_cfg=dict(max_epochs=7)),
    dict(
        name='ts-cam',
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=3)),
]
# The newest validation's pictures: work_dir/<stage>/pictures.
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.LocVisualizationHook', number=24, target='gt', loops=['val']),
]
