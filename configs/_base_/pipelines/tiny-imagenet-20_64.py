# Tiny-ImageNet, as its pictures are: 64x64.
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
