# Stanford Cars.
data_root = 'data/StanfordCars'
train_dataloader = dict(
    num_workers=4,
    dataset=dict(type='mmwsol.StanfordCars', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    dataset=dict(type='mmwsol.StanfordCars', data_root=data_root, split='test', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
]
test_evaluator = val_evaluator
