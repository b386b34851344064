# OpenImages30k: masks, no boxes, thus PxAP. Models and thresholds are chosen on val and reported on test.
data_root = 'data/OpenImages'
train_dataloader = dict(
    num_workers=4,
    dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root, split='val', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(type='mmwsol.OpenImages30k', data_root=data_root, split='test', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.PxAP'),
]
test_evaluator = val_evaluator
