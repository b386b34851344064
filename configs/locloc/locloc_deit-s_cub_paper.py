# LocLoc on CUB-200-2011 by the paper's text: thresholds and attention of the masks, optimizers, batch sizes, epochs and
# augmentation. The text names no momentum, weight decay or schedule: 0.9, 0 and none here.
_base_ = ['./locloc_deit-s_cub.py']
total_batch_size = 128
model = dict(head=dict(loss_weight=1.0))
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    batch_size=total_batch_size,
    dataset=dict(pipeline=train_pipeline),
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=1.5e-4, momentum=0.9, weight_decay=0.))
param_scheduler = []
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(base_batch_size=total_batch_size)
stages = [
    dict(
        name='masks',
        total_batch_size=64,
        model={{_base_.masks_stage.model}},
        train_dataloader={{_base_.masks_stage.train_dataloader}},
        train_cfg=dict(
            _delete_=True,
            type='mmwsol.OfflineLoop',
            writer=dict(type='mmwsol.PseudoMaskWriter', preset='paper'))),
    dict(
        name='generator',
        init_from='none',
        model=dict(head=dict(train_part='generator')),
        train_dataloader=dict(dataset=dict(pipeline={{_base_.generator_pipeline}})),
        optim_wrapper=dict(optimizer=dict(_delete_=True, type='Adam', lr=1e-3, weight_decay=0.)),
        train_cfg=dict(max_epochs=20)),
    dict(name='classifier'),
]
