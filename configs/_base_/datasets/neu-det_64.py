# NEU-DET at 64: 200x200 grey pictures of steel, six defects, several boxes a picture.
data_root = 'data/NEU-DET'
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(72, 72)),
    dict(type='mmwsol.RandomCrop', crop_size=64),
    dict(type='mmwsol.RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmwsol.ColorJitter', brightness=0.3, contrast=0.3),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(64, 64)),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.NEUDET', data_root=data_root, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.NEUDET', data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
