# LocLoc (Cao et al., ACM MM 2023), DeiT-S/16 at 224 on CUB-200-2011: masks from DINO's attention, then the generator of
# maps, then the classifier, both on one frozen DeiT-S.
_base_ = [
    '../_base_/datasets/cub_224_locloc.py',
    '../_base_/schedules/locloc_cub.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='mmwsol.ImageLocalizer',
    backbone=dict(type='mmwsol.TapViT', arch='deit-small', tap='none', out_tokens=(0, -1)),
    head=dict(
        type='mmwsol.LocLocHead',
        num_classes=200,
        in_channels=384,
        train_part='classifier',
        generator=dict(type='unet', base_channels=4, unet_channels=200),
        classifier=dict(num_layers=12, num_heads=6, feedforward_channels=1536, drop_path_rate=0.1),
        loss_weight=0.5),  # paper: 1
    map_to_box=dict(type='mmwsol.ContourBox', preset='locloc', threshold=0.5),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth'))
masks_stage = dict(
    name='masks',
    model=dict(
        backbone=dict(tap='cls'),
        head=dict(_delete_=True, type='mmwsol.ClsTokenHead', num_classes=200, in_channels=384),  # not used
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth')),
    train_dataloader=dict(
        batch_size=64, drop_last=False, dataset=dict(pipeline={{_base_.masks_pipeline}}),
        sampler=dict(_delete_=True, type='DefaultSampler', shuffle=False)),
    train_cfg=dict(
        _delete_=True,
        type='mmwsol.OfflineLoop',
        writer=dict(type='mmwsol.PseudoMaskWriter', preset='released')))  # delta 0.03, 0.1; paper: 0.02, 0.75
generator_stage = dict(
    name='generator',
    init_from='none',  # DeiT, not DINO
    model=dict(head=dict(train_part='generator')),
    train_dataloader=dict(
        dataset=dict(pipeline={{_base_.generator_pipeline}}),
        sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True)),  # official code: the classifier's
    # Constant; 1e-3 of the command line is for 512 images. Paper: Adam, 1e-3.
    optim_wrapper=dict(optimizer=dict(lr=5e-4)),
    param_scheduler=[],
    train_cfg=dict(max_epochs=20))
classifier_stage = dict(name='classifier')
stages = [masks_stage, generator_stage, classifier_stage]
