# 224 with DeiT's augmentation, as in the official CDTR code; its paper states the pipeline of squash_224.py. At test
# the short side becomes 256 and the center is cropped.
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
