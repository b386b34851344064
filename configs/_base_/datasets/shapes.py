# Shapes: pictures are rendered into data/shapes on first use.
train_dataloader = dict(
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.Shapes', split='train', num_images=8000),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.Shapes', split='val', num_images=1000, test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
