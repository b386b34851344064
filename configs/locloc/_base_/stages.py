# Masks from DINO's attention, then the generator of maps on a frozen DeiT-S; the classifier is the config as it stands.
# `paper_*`: by the paper's text; `ppd_*`: of its baseline, the Proxy Probing Decoder.
_base_ = ['./pipelines.py']
masks_stage = dict(
    name='masks',
    total_batch_size=64,
    model=dict(
        backbone=dict(tap='cls'),
        head=dict(_delete_=True, type='mmwsol.ClsTokenHead', num_classes=200, in_channels=384),  # not used
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth')),
    train_dataloader=dict(
        drop_last=False,
        dataset=dict(pipeline={{_base_.masks_pipeline}}),
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
    param_scheduler=[],  # constant; the schedule has the learning rate
    train_cfg=dict(max_epochs=20))
paper_masks_stage = dict(
    masks_stage,
    train_cfg=dict(
        _delete_=True, type='mmwsol.OfflineLoop', writer=dict(type='mmwsol.PseudoMaskWriter', preset='paper')))
paper_generator_stage = dict(
    generator_stage, optim_wrapper=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.)))
ppd_masks_stage = dict(
    masks_stage,
    train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(type='mmwsol.PseudoMaskWriter', preset='ppd')))
