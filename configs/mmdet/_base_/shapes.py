# Shapes for detectors: a localizer's boxes for training, the true boxes for testing. README.md says how to make the
# files.
_base_ = ['mmdet::_base_/default_runtime.py']
# mmwsol's types need no import; this lets mmengine read its own checkpoints with torch >= 2.6, before any of them is
# built.
custom_imports = dict(imports=['mmwsol.registry'], allow_failed_imports=False)
data_root = 'data/shapes/'
total_batch_size = 32
classes = (
    'disc-stripes', 'square-checks', 'triangle-dots', 'star-rings', 'cross-bricks', 'hexagon-quarters', 'diamond-grid',
    'arrow-waves', 'half-disc-spokes', 'gear-weave')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),  # their size: it notes the scale factor, which mmdet asks for
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=total_batch_size,
    num_workers=0,  # small pictures: a worker costs more than it saves
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset', data_root=data_root, ann_file='pseudo-train.json', data_prefix=dict(img=''),
        metainfo=dict(classes=classes), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset', data_root=data_root, ann_file='gt-val.json', data_prefix=dict(img=''), test_mode=True,
        metainfo=dict(classes=classes), pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'gt-val.json', metric='bbox')
test_evaluator = val_evaluator
randomness = dict(seed=0)
