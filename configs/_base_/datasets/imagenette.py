# Imagenette: 12,894 training photographs of ten classes; of the 500 with boxes one half is for thresholds (val), the
# other for figures (test). All 500: test_dataloader.dataset.split=test.
data_root = 'data/imagenette'
train_dataloader = dict(
    num_workers=2,
    dataset=dict(type='mmwsol.Imagenette', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(type='mmwsol.Imagenette', data_root=data_root, split='calibration', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(type='mmwsol.Imagenette', data_root=data_root, split='report', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
