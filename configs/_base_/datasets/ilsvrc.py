# ILSVRC2012. Val is flat or sorted into class folders.
data_root = 'data/ILSVRC2012'
train_dataloader = dict(
    num_workers=8,
    dataset=dict(type='mmwsol.ILSVRC', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    dataset=dict(type='mmwsol.ILSVRC', data_root=data_root, split='val', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
]
test_evaluator = val_evaluator
