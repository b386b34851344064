# 224 as in the official SAT code: at test, images are squashed to 256 and the center is cropped.
_base_ = ['./squash_224.py']
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.CenterCrop', crop_size=224),
    dict(type='mmwsol.PackLocInputs'),
]
# tools/test.py --tta: class scores from ten crops, localization from the center crop. The paper's Top-1 and Top-5 use
# it.
tta_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.TenCrop', crop_size=224, view='center'),
    dict(type='mmwsol.PackLocInputs'),
]
