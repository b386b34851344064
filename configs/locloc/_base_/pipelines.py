# 224 as in the official LocLoc code, one training pipeline a stage. At test the short side becomes 256 and the center
# is cropped, although the masks and both training pipelines squash the image. OpenCV's decoder and resize, also for
# GrabCut's colors.
masks_pipeline = [
    dict(type='mmwsol.LoadImage', imdecode_backend='cv2'),
    dict(type='mmwsol.Resize', scale=(256, 256), backend='cv2'),
    dict(type='mmwsol.PackLocInputs'),
]
generator_pipeline = [
    dict(type='mmwsol.LoadImage', imdecode_backend='cv2'),
    dict(type='mmwsol.Resize', scale=(256, 256), backend='cv2'),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.PackLocInputs'),
]
# The classifier's; `paper_pipeline`: the paper only says resize to 256, random crop of 224 and the masks.
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256), interpolation='bicubic'),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomResizedCrop', scale=224, interpolation='bicubic'),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(
        type='mmpretrain.RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
        hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
    dict(type='mmwsol.PackLocInputs'),
]
paper_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256)),
    dict(type='mmwsol.LoadPseudoMask', mask_root='stage://masks/cache'),
    dict(type='mmwsol.RevealRandomBox', alpha=1.0),
    dict(type='mmwsol.RandomCrop', crop_size=224),
    dict(type='mmwsol.RandomFlip', prob=0.5),
    dict(type='mmwsol.PackLocInputs'),
]
test_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.ResizeEdge', scale=256),
    dict(type='mmwsol.CenterCrop', crop_size=224),
    dict(type='mmwsol.PackLocInputs'),
]
