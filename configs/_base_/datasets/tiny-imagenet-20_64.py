# 20 classes of Tiny-ImageNet: train/<wnid>/*.JPEG, val/<wnid>/*.JPEG, classes.txt, train_boxes.txt, val_boxes.txt.
data_root = 'data/tiny-imagenet-20'
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomCrop', crop_size=64, padding=8, padding_mode='reflect'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.TinyImageNet', data_root=data_root, split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(
        type='mmwsol.TinyImageNet', data_root=data_root, split='val', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
