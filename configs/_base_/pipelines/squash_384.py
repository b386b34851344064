# 384: the recipe of 224 scaled, as in TRT (448, crop 384): images are squashed, not cropped, at test.
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(448, 448)),
    dict(type='mmwsol.RandomCrop', crop_size=384),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(384, 384)),
    dict(type='mmwsol.PackLocInputs'),
]
# tools/test.py --tta: class scores from ten crops, localization from the plain image.
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.TenCrop', crop_size=384, view='plain', resize=448),
    dict(type='mmwsol.Resize', scale=(384, 384)),
    dict(type='mmwsol.PackLocInputs'),
]
