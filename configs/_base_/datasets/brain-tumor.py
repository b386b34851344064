# Brain tumors in MRI slices.
data_root = 'data/BrainTumor'
train_dataloader = dict(
    num_workers=4,
    dataset=dict(type='mmwsol.BrainTumor', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(type='mmwsol.BrainTumor', data_root=data_root, split='val', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, ), prefix='cls'),
    dict(type='mmwsol.LocAccuracy', topk=(1, )),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
