# CUB-200-2011 at 224 with DeiT's augmentation, as in the official CDTR code. The paper states the pipeline of
# cub_224.py. At test the short side becomes 256 and the centre is cropped.
data_root = 'data/CUB_200_2011'
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomResizedCrop', scale=224, interpolation='bicubic'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    # Turns and shears picture content without its boxes: they are not used in training.
    dict(
        type='mmpretrain.RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    dict(
        type='mmpretrain.RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=1 / 3,
        fill_color=[103.53, 116.28, 123.675],
        fill_std=[57.375, 57.12, 58.395]),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.ResizeEdge', scale=256, interpolation='bicubic'),
    dict(type='mmwsol.CenterCrop', crop_size=224),
    dict(type='mmwsol.PackLocInputs'),
]
train_dataloader = dict(
    batch_size=512,  # all GPUs together: divide by their number
    num_workers=8,
    drop_last=True,
    dataset=dict(type='mmwsol.CUB', data_root=data_root, split='train', pipeline=train_pipeline),
    sampler=dict(type='mmpretrain.RepeatAugSampler', shuffle=True),  # an epoch has a third of the images, thrice each
    worker_init_fn=dict(type='mmwsol.worker_init_fn'))
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(type='mmwsol.CUB', data_root=data_root, split='test', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    # The published protocol: loc/gt_known has the box of the PREDICTED class.
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', iou_stats=True),
    dict(type='mmwsol.LocAccuracy', protocol='cdtr', map_class='gt', prefix='loc_gt_class'),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short'),
]
test_evaluator = val_evaluator
