# Quickstart: SAT on Shapes, a small vision transformer from scratch; minutes on two CPU cores. Stages, epochs and
# learning rates of ts-cam_small-vit_shapes.py. The first stage stands in for the ImageNet weights that SAT starts from.
_base_ = ['../_base_/small-vit/shapes.py']
stages = [
    dict(name='pretrain', train_cfg=dict(max_epochs=7)),
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
                    loss_area=dict(type='mmwsol.BatchAreaLoss', target=0.25),  # lambda: the paper's value for CUB
                    loss_norm=dict(type='mmwsol.MapNormalizationLoss'))),
            map_to_box=dict(_delete_=True, type='mmwsol.ComponentBox', preset='sat', threshold=0.4)),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=3)),
]
# The newest validation's pictures: work_dir/<stage>/pictures.
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.LocVisualizationHook', number=24, target='gt', loops=['val']),
]
