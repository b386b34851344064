# The locator of the Proxy Probing Decoder (PPD), LocLoc's baseline, on CUB-200-2011: DINO's tokens after the final
# norm, its own masks and decoder, images squashed to 256. There is no classifier: class scores mean nothing.
_base_ = ['./locloc_deit-s_cub.py']
model = dict(
    head=dict(train_part='generator', final_norm=True, generator=dict(_delete_=True, type='ppd')),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth'))
train_pipeline = [
    dict(type='mmwsol.LoadImage', imdecode_backend='cv2'),
    dict(type='mmwsol.Resize', scale=(256, 256), backend='cv2'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    dataset=dict(pipeline=train_pipeline), sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc', map_class='agnostic'),
]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.))
param_scheduler = dict(_delete_=True, type='MultiStepLR', by_epoch=True, milestones=[111, 1112], gamma=0.1)
train_cfg = dict(max_epochs=300)  # at most; the official code keeps the best
stages = [{{_base_.ppd_masks_stage}}, dict(name='generator', init_from='none')]
