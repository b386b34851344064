# TRT on Imagenette, a transformer behind EfficientNet-Lite0. Its map needs the attention of the block before the last,
# which is good on small tokens (the scale of the stem's norm), as in sat_hybrid-vit_imagenette.py. The CAM branch reads the
# stem's tokens, before the last two blocks as in the official code, by its convolution alone: blocks mix what tokens say.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
model = dict(backbone=dict(stem=dict(norm_scale=0.1)))
cam_branch = dict(cam_layer=-2, cam_block=False)
stages = [
    dict(name='pretrain'),
    dict(
        name='tpsm',
        model=dict(
            # with_cam: the CAM branch waits for its stage
            backbone=dict(type='mmwsol.TRTViT', tpsm=dict(u=0.3), with_cam=True, **cam_branch),
            head=dict(type='mmwsol.TRTHead', train_part='tpsm')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4))),
    dict(
        name='cam',
        model=dict(
            backbone=dict(type='mmwsol.TRTViT', tpsm=dict(u=0.3), **cam_branch),
            head=dict(type='mmwsol.TRTHead', train_part='cam')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))),
]
