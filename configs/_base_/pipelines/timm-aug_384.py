# 384 with timm's training augmentation; see timm-aug_224.py.
_base_ = ['./squash_384.py']
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.RandomResizedCrop', scale=384, crop_ratio_range=(0.8, 1.0), interpolation='bicubic'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
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
