# 20 classes of Tiny-ImageNet: train/<wnid>/*.JPEG, val/<wnid>/*.JPEG, classes.txt, train_boxes.txt, val_boxes.txt.
data_root = 'data/tiny-imagenet-20'
train_dataloader = dict(
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.TinyImageNet', data_root=data_root, split='train'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=0,  # small pictures: a worker costs more than it saves
    dataset=dict(type='mmwsol.TinyImageNet', data_root=data_root, split='val', test_mode=True),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
    dict(type='mmwsol.LocBaselines'),
]
test_evaluator = val_evaluator
