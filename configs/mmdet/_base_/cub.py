# CUB-200-2011 for detectors: a localizer's boxes for training, the true boxes for testing. README.md says how to make
# the files. Images are about 500 x 375.
_base_ = ['mmdet::_base_/default_runtime.py']
# mmwsol's types need no import; this lets mmengine read its own checkpoints with torch >= 2.6, before any of them is
# built.
custom_imports = dict(imports=['mmwsol.registry'], allow_failed_imports=False)
data_root = 'data/CUB_200_2011/'
# Of all GPUs: tools/train.py gives each its share. mmdet's own train.py takes it for every GPU: use --auto-scale-lr.
total_batch_size = 16
metainfo = dict(classes=data_root + 'boxes/gt-test.classes.txt')
train_pipeline = [
    # Boxes are in stored pixels: no turning by the EXIF tag.
    dict(type='LoadImageFromFile', color_type='color_ignore_orientation'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomChoiceResize', scales=[(640, s) for s in (384, 448, 512, 576, 640)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', color_type='color_ignore_orientation'),
    dict(type='Resize', scale=(640, 512), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=total_batch_size,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset', data_root=data_root, ann_file='boxes/pseudo-train.json', data_prefix=dict(img=''),
        metainfo=metainfo, filter_cfg=dict(filter_empty_gt=True), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset', data_root=data_root, ann_file='boxes/gt-test.json', data_prefix=dict(img=''),
        metainfo=metainfo, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'boxes/gt-test.json', metric='bbox')
test_evaluator = val_evaluator
randomness = dict(seed=0)
