# Imagenette at 64: whole photographs are squashed at test.
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(72, 72)),
    dict(type='mmwsol.RandomCrop', crop_size=64),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.ColorJitter', brightness=0.3, contrast=0.3, saturation=0.3),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(64, 64)),
    dict(type='mmwsol.PackLocInputs'),
]
