# LocLoc on Shapes, a small vision transformer from scratch. The first stage is that of
# ts-cam_small-vit_shapes.py; its network gives the attention, as DINO does officially, and is the frozen backbone.
_base_ = ['../_base_/small-vit/shapes.py']
generator_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.PackLocInputs'),
]
classifier_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
localizer = dict(
    backbone=dict(tap='none', out_tokens=(0, -1)),
    head=dict(
        _delete_=True,
        type='mmwsol.LocLocHead',
        num_classes=10,
        in_channels=128,
        train_part='generator',
        generator=dict(type='unet', unet_channels=32, deconv_channels=32),  # official: 200 and 256, slow on a CPU
        classifier=dict(num_layers=3, num_heads=4, feedforward_channels=512)),
    map_to_box=dict(preset='locloc', threshold=0.4))
stages = [
    dict(name='pretrain', train_cfg=dict(max_epochs=7)),
    dict(
        name='masks',
        train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
        train_cfg=dict(
            _delete_=True, type='mmwsol.OfflineLoop',  # thresholds chosen on val: the presets' are for DINO
            writer=dict(type='mmwsol.PseudoMaskWriter', preset='paper', delta0=0.03, delta1=0.1))),
    dict(
        name='generator',
        model=localizer,
        train_dataloader=dict(dataset=dict(pipeline=generator_pipeline)),
        param_scheduler=[],
        train_cfg=dict(max_epochs=1)),
    dict(
        name='classifier',
        model=dict(localizer, head=dict(localizer['head'], train_part='classifier')),
        train_dataloader=dict(dataset=dict(pipeline=classifier_pipeline)),
        optim_wrapper=dict(optimizer=dict(lr=5e-4)),
        train_cfg=dict(max_epochs=2)),
]
custom_hooks = [
    dict(type='mmwsol.EpochSeedHook'),
    dict(type='mmwsol.LocVisualizationHook', number=24, target='gt', loops=['val']),
]
