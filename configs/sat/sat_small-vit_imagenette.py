# SAT on Imagenette (ten classes, 64x64), a small vision transformer from scratch: stages, epochs and learning rates of
# ts-cam_small-vit_imagenette.py. The first stage stands in for the ImageNet weights that SAT starts from.
_base_ = ['../_base_/small-vit/imagenette.py']
stages = [
    dict(name='pretrain', train_cfg=dict(max_epochs=14)),
    dict(
        name='sat',
        model=dict(
            backbone=dict(type='mmwsol.SATViT', num_sqa_blocks=3),
            head=dict(
                _delete_=True,
                type='mmwsol.SATHead',
                num_classes=10,
                in_channels=128,
                map_losses=dict(
                    loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.35),  # the paper's value for ILSVRC
                    loss_norm=dict(type='mmwsol.MapNormalizationLoss'))),
            map_to_box=dict(_delete_=True, type='mmwsol.ComponentBox', preset='sat')),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=8)),
]
