# LCTR on Imagenette, a transformer behind EfficientNet-Lite0: stages of ts-cam_hybrid-vit_imagenette.py.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
stages = [
    dict(name='pretrain'),
    dict(
        name='lctr',
        model=dict(
            backbone=dict(tap='full', tap_in_train=True),
            head=dict(type='mmwsol.LCTRHead')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))),
]
