# LocLoc on CUB, the classifier (Table 5): a linear layer on the class token in place of two convolutions, and without
# the masks' augmentation: (a) both, (b) linear, (c) without augmentation.
base = 'locloc_deit-s_cub'
grid = {
    'model.head.classifier.conv_head': {'linear': False, '': None},
    'train_dataloader.dataset.pipeline': {
        'no-aug': [
            dict(type='mmwsol.LoadImage'),
            dict(type='mmwsol.Resize', scale=(256, 256), interpolation='bicubic'),
            dict(type='mmwsol.RandomResizedCrop', scale=224, interpolation='bicubic'),
            dict(type='mmwsol.RandomFlip', prob=0.5),
            dict(
                type='mmpretrain.RandAugment', policies='timm_increasing', num_policies=2, total_level=10,
                magnitude_level=9, magnitude_std=0.5, hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic')),
            dict(type='mmwsol.PackLocInputs'),
        ],
        '': '{{_base_.train_dataloader.dataset.pipeline}}',
    },
}
paper = {
    'locloc_deit-s_cub_linear_no-aug': {'cls/top1': 80.9, 'cls/top5': 95.1},
    'locloc_deit-s_cub_linear': {'cls/top1': 81.3, 'cls/top5': 95.4},
    'locloc_deit-s_cub_no-aug': {'cls/top1': 85.4, 'cls/top5': 97.8},
    'locloc_deit-s_cub': {'cls/top1': 85.7, 'cls/top5': 98.4},
}
