# LocLoc (Cao et al., ACM MM 2023), DeiT-S/16 at 224 on ILSVRC2012: masks from DINO's attention, then the generator of
# maps, then the classifier, both on one frozen DeiT-S.
_base_ = [
    './_base_/deit-s.py',
    './_base_/pipelines.py',
    './_base_/schedule_ilsvrc.py',
    '../_base_/datasets/ilsvrc.py',
]
model = dict(head=dict(num_classes=1000), map_to_box=dict(threshold=0.4))
train_dataloader = dict(
    batch_size={{_base_.total_batch_size}},
    drop_last=True,
    dataset=dict(pipeline={{_base_.train_pipeline}}),
    sampler=dict(type='mmpretrain.RepeatAugSampler'))  # an epoch has a third of the images, thrice each
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', protocol='locloc', gt_mode='any'),
    dict(type='mmwsol.LocAccuracy', protocol='locloc', prefix='loc_first'),  # official code: only the first box
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short', map_class='agnostic'),
]
masks_stage = dict(
    name='masks',
    total_batch_size=64,
    model=dict(
        backbone=dict(tap='cls'),
        head=dict(_delete_=True, type='mmwsol.ClsTokenHead', num_classes=1000, in_channels=384),  # not used
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
    # Constant; 1e-3 of the command line is for 512 images. Paper: Adam, 1e-3.
    optim_wrapper=dict(optimizer=dict(lr=1e-3)),
    param_scheduler=[],
    train_cfg=dict(max_epochs=20))
classifier_stage = dict(name='classifier')
stages = [masks_stage, generator_stage, classifier_stage]
