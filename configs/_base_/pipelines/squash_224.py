# 224 as in the official TS-CAM code: images are squashed, not cropped, at test.
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
