# TS-CAM on Imagenette, a transformer behind EfficientNet-Lite0. The first stage trains the class token, whose attention
# TS-CAM reads.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
model = dict(head=dict(type='mmwsol.ConvCAMHead'))
stages = [
    dict(name='pretrain', model=dict(head=dict(type='mmwsol.ClsTokenHead'))),
    dict(name='ts-cam', optim_wrapper=dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))),
]
