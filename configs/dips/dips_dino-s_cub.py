# DiPS (Murtaza et al., IVC 2023), DINO ViT-S/16 at 224 on CUB-200-2011. Epoch and threshold are chosen on CUBv2. No
# setting is published for this data set but the area limit: fractions, numbers and learning rate are starting values of
# the grids that were searched.
_base_ = [
    './_base_/dino-s.py',
    './_base_/schedule.py',
    '../_base_/datasets/cubv2.py',
    '../_base_/pipelines/squash_224.py',
]
model = dict(
    head=dict(num_classes=200, sampler=dict(num_fg=1000, num_bg=1000, fg_fraction=0.2, bg_fraction=0.2)))
classifier_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomResizedCrop', scale=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
decoder_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadProposals', cache_dir='stage://proposals/cache', top_k=5),
    dict(type='mmwsol.PackLocInputs', algorithm_keys=['proposal_mask', 'proposal_map', 'raw_img']),
]
train_dataloader = dict(batch_size={{_base_.total_batch_size}}, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = test_dataloader = dict(dataset=dict(pipeline={{_base_.test_pipeline}}))
val_evaluator = test_evaluator = {{_base_.evaluator}}
classifier_stage = dict(  # DINO's linear evaluation: learning rate 0.001 for 256 images
    name='classifier',
    train_dataloader=dict(dataset=dict(pipeline=classifier_pipeline)),
    optim_wrapper=dict(optimizer=dict(lr=1.25e-4, nesterov=False)),
    param_scheduler=dict(_delete_=True, type='CosineAnnealingLR', by_epoch=True),
    train_cfg=dict(max_epochs=100, val_interval=10))
proposals_stage = dict(
    name='proposals',
    train_dataloader=dict(dataset=dict(pipeline={{_base_.test_pipeline}})),
    train_cfg=dict(_delete_=True, type='mmwsol.OfflineLoop', writer=dict(
        type='mmwsol.ProposalWriter', min_area=0.5, blur_kernel=115, blur_sigma=100.5)))
decoder_stage = dict(
    name='decoder',
    model=dict(head=dict(train_part='decoder')),
    train_dataloader=dict(dataset=dict(pipeline=decoder_pipeline)))
stages = [classifier_stage, proposals_stage, decoder_stage]
