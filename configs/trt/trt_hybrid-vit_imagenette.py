# TRT on Imagenette, a transformer behind EfficientNet-Lite0. The first stage is that of
# ts-cam_hybrid-vit_imagenette.py. The CAM branch reads the tokens before the last block, as in the paper.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
stages = [
    dict(name='pretrain'),
    dict(
        name='tpsm',
        model=dict(
            # with_cam: the CAM branch, a copy of the pretrained last block, waits for its stage
            backbone=dict(type='mmwsol.TRTViT', tpsm=dict(u=0.3), cam_layer=-1, with_cam=True),
            head=dict(type='mmwsol.TRTHead', train_part='tpsm')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4))),
    dict(
        name='cam',
        model=dict(
            backbone=dict(type='mmwsol.TRTViT', tpsm=dict(u=0.3), cam_layer=-1),
            head=dict(type='mmwsol.TRTHead', train_part='cam')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))),
]
