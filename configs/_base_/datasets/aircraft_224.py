# FGVC-Aircraft at 224: training on train and val, as in SAT; images are squashed, not cropped, at test.
data_root = 'data/fgvc-aircraft-2013b/data'
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
# tools/test.py --tta: class scores from ten crops, localization from the plain image.
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.TenCrop', crop_size=224, view='plain', resize=256),
    dict(type='mmwsol.Resize', scale=(224, 224)),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    batch_size=128,  # all GPUs together: divide by their number
    num_workers=4,
    dataset=dict(type='mmwsol.FGVCAircraft', data_root=data_root, split='trainval', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(
        type='mmwsol.FGVCAircraft', data_root=data_root, split='test', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(type='mmwsol.LocAccuracy'),
    dict(type='mmwsol.MaxBoxAcc'),
]
test_evaluator = val_evaluator
