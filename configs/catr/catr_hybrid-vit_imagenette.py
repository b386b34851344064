# CATR on Imagenette, a transformer behind EfficientNet-Lite0: stages of ts-cam_hybrid-vit_imagenette.py.
_base_ = ['../_base_/hybrid-vit/imagenette.py']
stages = [
    dict(name='pretrain'),
    dict(
        name='catr',
        model=dict(
            backbone=dict(tap_in_train=True),
            map_to_box=dict(type='mmwsol.ContourBox', preset='catr'),
            head=dict(
                type='mmwsol.CATRHead',
                attn_shape=(2, 4),
                ocm_blocks=2,
                # The mean over the images, not their sum: the sum pulls the attention towards zero.
                loss_ocm_s=dict(type='mmwsol.NoiseSuppressionLoss', reduce='mean'))),
        optim_wrapper=dict(optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.))))),
]
