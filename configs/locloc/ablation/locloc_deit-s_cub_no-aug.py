# LocLoc on CUB-200-2011, ablation (Table 5, c): the classifier without the masks' augmentation.
_base_ = ['../locloc_deit-s_cub.py']
train_pipeline = [
    dict(type='mmwsol.LoadImage'),
    dict(type='mmwsol.Resize', scale=(256, 256), interpolation='bicubic'),
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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
